"""The content of ablation.md: tables in Markdown from the content of ablation.json alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ablation_setup import EPSILON, FULL, VARIANTS
from ablation_statistics import FAD, METRICS

Content = Mapping[str, Any]
PAPER = {
    FULL: ("1.26", "0.125", "0.487"),
    "no_global_attention": ("~1.8", "~0.14", "~0.45"),
    "no_time_attention": ("~1.6", "~0.13", "~0.46"),
    "no_instrument_prior": ("~1.4", "~0.13", "~0.47"),
}
"""FAD, IRS and CBS of the paper's own ablation; ~ marks what is known to that precision only."""
PAPER_DATA = ("–", "0.049", "0.592")
DIGITS = {"named": 2, "loss": 4}
NOTES = """\
In brackets: 95 % bootstrap interval over clips, of all seeds together. **Bold**: a difference whose interval leaves out
0; among so many, one in twenty does so by chance. Intervals are over clips and say nothing of how much another seed of
the training would change. CBS re-paired: the variant's own stems, each of another clip; its interval is too narrow, and
its differences are never bold. The loss has the same time steps and noise for all. FAD has an interval from halves of
the clips, and is biased upwards by the same amount for all: the data's row is that of training data to the data held
back, from which all are measured."""


def describe(content: Content) -> str:
    """The whole of ablation.md."""
    settings = content["settings"]
    training = f"{settings['batch_size']} songs a step, of {settings['songs']} grooves"
    size = f"{settings['clips']} clips a seed by {settings['calls']} calls of dpmpp_2m_sde"
    parts = [f"Each variant trained from random weights, {training}; {size}.", NOTES]
    for title, table in (
        ("Each variant after its last step", variants_table(content)),
        ("Difference to full after the same steps", differences_table(content)),
        ("FAD (mel) of each stem and of the mix", distances_table(content)),
        ("CBS by steps", steps_table(content)),
        ("Predicting the noise or the velocity", prediction_table(content)),
        ("Samplers by number of calls, full after its last step", samplers_table(content)),
    ):
        parts += [f"### {title}", table]
    return "\n\n".join(parts) + "\n"


def variants_table(content: Content) -> str:
    """All metrics of every variant after its last step, of the data, and the paper's numbers beside them."""
    head = ["", "steps", *METRICS.values(), "FAD mix ↓", "silent stems", "paper: CBS ↑", "IRS ↓", "FAD ↓"]
    metrics, lines = [*METRICS, FAD + "mix"], [head]
    for row in _last(content):
        paper = PAPER.get(row["variant"], ("–",) * 3)
        cells = [_of(row["metrics"], name) for name in metrics]
        lines.append([row["title"], _number(row["step"]), *cells, str(row["silent"]), *reversed(paper)])
    cells = [_of(content["data"], name) for name in metrics]
    return _markdown([*lines, ["data", "–", *cells, "–", *reversed(PAPER_DATA)]])


def differences_table(content: Content) -> str:
    """Every variant minus `full`, at its last step that `full` has too."""
    metrics = [*METRICS, FAD + "mix"]
    lines = [["minus full", "steps", *METRICS.values(), "FAD mix ↓"]]
    for variant in VARIANTS:
        rows = [row for row in _rows(content, variant) if row["difference_to_full"]]
        if rows:
            changes = rows[-1]["difference_to_full"]
            cells = [_of(changes, name, signed=True) for name in metrics]
            lines.append([rows[-1]["title"], _number(rows[-1]["step"]), *cells])
    return _markdown(lines)


def distances_table(content: Content) -> str:
    """FAD of each stem and of the mix, after the last step."""
    names = [name for name in content["data"] if name.startswith(FAD)]
    lines = [["", "steps", *(name.removeprefix(FAD) for name in names)]]
    for row in _last(content):
        lines.append([row["title"], _number(row["step"]), *(_of(row["metrics"], name) for name in names)])
    return _markdown([*lines, ["data", "–", *(_of(content["data"], name) for name in names)]])


def steps_table(content: Content) -> str:
    """CBS of every variant at every step, as in the picture."""
    steps = content["settings"]["steps"]
    lines = [["", *(_number(step) for step in steps)]]
    for variant, title in VARIANTS.items():
        rows = {row["step"]: row for row in _rows(content, variant)}
        if rows:
            cells = [_of(rows[step]["metrics"], "cbs") if step in rows else "not measured" for step in steps]
            lines.append([title, *cells])
    return _markdown(lines)


def prediction_table(content: Content) -> str:
    """The noise against the velocity after the same steps."""
    metrics = [name for name in METRICS if name != "loss"] + [FAD + "mix"]
    lines = [["predicts", "steps", *(title for name, title in METRICS.items() if name != "loss"), "FAD mix ↓"]]
    noise = {row["step"]: row for row in _rows(content, EPSILON)}
    for row in _rows(content, FULL):
        if row["step"] in noise:
            other, step = noise[row["step"]], _number(row["step"])
            lines.append(["velocity", step, *(_of(row["metrics"], name) for name in metrics)])
            lines.append(["noise", step, *(_of(other["metrics"], name) for name in metrics)])
            changes = [_of(other["difference_to_full"], name, signed=True) for name in metrics]
            lines.append(["noise minus velocity", step, *changes])
    return _markdown(lines)


def samplers_table(content: Content) -> str:
    """Each sampler and number of calls, with the one of the variants' tables among them."""
    metrics = [name for name in METRICS if name not in ("loss", "chance")] + [FAD + "mix"]
    lines = [["sampler", "calls", *(title for name, title in METRICS.items() if name in metrics), "FAD mix ↓"]]
    last = _rows(content, FULL)[-1:]
    rows = [row for row in content["rows"] if row["kind"] == "sampler"]
    rows = sorted([*rows, *(last if rows else [])], key=lambda row: (row["sampler"], row["calls"]))
    lines += [[row["sampler"], str(row["calls"]), *(_of(row["metrics"], n) for n in metrics)] for row in rows]
    return _markdown(lines)


def _rows(content: Content, variant: str) -> list[Content]:
    """A variant's rows by steps, ascending."""
    rows = [row for row in content["rows"] if row["variant"] == variant and row["kind"] == "step"]
    return sorted(rows, key=lambda row: row["step"])


def _last(content: Content) -> list[Content]:
    return [row for variant in VARIANTS for row in _rows(content, variant)[-1:]]


def _of(metrics: Mapping[str, Any], name: str, signed: bool = False) -> str:
    """`0.512 (0.490 to 0.530)`; a clear difference in bold."""
    entry = metrics.get(name)
    if entry is None or entry["value"] is None:
        return "–"
    digits, sign = DIGITS.get(name, 3), "+" if signed else ""
    text = f"{entry['value']:{sign}.{digits}f}"
    if entry["interval_95"] is None:
        return f"{text} (no interval)"
    low, high = entry["interval_95"]
    # The interval of the re-paired CBS holds for the partners that were drawn.
    clear = signed and name != "chance" and (low > 0 or high < 0)
    text = f"{text} ({low:{sign}.{digits}f} to {high:{sign}.{digits}f})"
    return f"**{text}**" if clear else text


def _number(value: int) -> str:
    return f"{value:,}"


def _markdown(lines: Iterable[Sequence[str]]) -> str:
    head, *rows = lines
    if not rows:
        return "Not measured yet."
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])
