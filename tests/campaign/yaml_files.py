"""YAML files of every shape that is no configuration, as --config and as --stem-map."""

import os
from pathlib import Path

from campaign.cases import Case

TRAIN = ("train_synctrack.py", "--config", "{shared}/small.yaml", "bad.yaml")
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(9 * [f'*{old}'])}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

CONTENTS: dict[str, str | bytes] = {
    "bare scalar": "hello",
    "bare number": "5",
    "bare null": "null",
    "empty": "",
    "only a comment": "# nothing\n",
    "list": "- 1\n- 2\n",
    "integer of 5,000 digits": f"seed: {5000 * '9'}\n",
    "integer of 100,000 digits": f"seed: {100_000 * '9'}\n",
    "binary integer of 100,000 digits": f"seed: 0b{100_000 * '1'}\n",
    "400 levels of flow maps": f"data: {400 * '{a: '}1{400 * '}'}\n",
    "400 levels of blocks": "".join(f"{level * ' '}a:\n" for level in range(400)),
    "100,000 open brackets": "data: " + 100_000 * "[",
    "100,000 open braces": "data: " + 100_000 * "{",
    "unclosed bracket": "seed: [1\n",
    "unclosed quote": 'run_dir: "abc\n',
    "tab for indentation": "trainer:\n\tdevices: 1\n",
    "NUL": b"seed: 1\x00\n",
    "control characters": b"seed: \x01\x02\n",
    "not UTF-8": b"run_dir: caf\xe9\n",
    "UTF-16 without a mark": "seed: 1\n".encode("utf-16-le"),
    "random bytes": bytes(range(256)) * 8,
    "key twice": "seed: 1\nseed: 2\n",
    "section twice": "trainer:\n  max_steps: 1\ntrainer:\n  devices: 1\n",
    "two documents": "seed: 1\n---\nseed: 2\n",
    "a Python object": "seed: !!python/object/apply:os.getpid []\n",
    "an unknown tag": "seed: !nonsense 3\n",
    "a set": "seed: !!set {a, b}\n",
    "binary data": "run_dir: !!binary aGVsbG8=\n",
    "a date": "seed: 2020-01-01\n",
    "a date as key": "2020-01-01: 1\n",
    "a number as key": "1: 2\n",
    "null as key": "null: 2\n",
    "a list as key": "[1, 2]: 3\n",
    "a map as key": "{a: b}: 3\n",
    "an unknown alias": "seed: *nowhere\n",
    "an alias in itself": "data: &a\n  params: *a\n",
    "a billion laughs": LAUGHS,
    "merge of a scalar": "<<: 3\n",
    "section as a number": "trainer: 3\n",
    "section as a list": "model: {params: {unet: [1, 2]}}\n",
    "section as text": "data: {params: hello}\n",
    "section as null": "trainer: null\n",
    "value as a section": "seed: {a: 1}\n",
    "unknown key": "trainer: {device: 2}\n",
    "interpolation of itself": "run_dir: ${run_dir}\n",
    "circular interpolation": "run_dir: ${evaluation.out}\nevaluation: {out: '${run_dir}'}\n",
    "interpolation of a section": "seed: ${trainer}\n",
    "interpolation of nothing": "seed: ${nowhere}\n",
    "interpolation of another type": "seed: ${run_dir}\n",
    "unclosed interpolation": "run_dir: ${oc.env:HOME\n",
    "unknown resolver": "run_dir: ${shell:ls}\n",
    "missing value": "seed: ???\n",
    "300-character key": f"{300 * 'k'}: 1\n",
    "a name of 300 characters": f"run_dir: {300 * 'n'}\n",
    "escaped NUL in a path": 'run_dir: "a\\0b"\n',
    "lone surrogate": 'run_dir: "\\ud800"\n',
    "float overflow": "model: {params: {base_learning_rate: 1e999}}\n",
    "sexagesimal": "seed: 1:99:99\n",
    "2 MB": "seed: 1\n" + 2_000_000 * "#",
}
NAMED = {
    "integer of 5,000 digits": "bad.yaml",
    "section as a number": "trainer",
    "section as a list": "model.params.unet",
    "section as text": "data.params",
    "section as null": "trainer",
    "value as a section": "seed",
    "unknown key": "trainer.device",
    "key twice": "seed",
    "section twice": "trainer",
    "interpolation of itself": "run_dir",
    "circular interpolation": "run_dir",
    "interpolation of a section": "seed",
    "interpolation of nothing": "seed",
    "interpolation of another type": "seed",
    "unknown resolver": "run_dir",
    "missing value": "seed",
    "a name of 300 characters": "run_dir",
    "escaped NUL in a path": "run_dir",
    "float overflow": "model.params.base_learning_rate",
}
"""Where the key is known, it must be named; elsewhere the file."""

STEM_MAPS: dict[str, str | bytes] = {
    "scalar": "hello",
    "empty": "",
    "no stems": "{}",
    "list": "- Bass",
    "key twice": "bass: [Bass]\nbass: [Guitar]\n",
    "unknown family": "bass: [Kazoo]\n",
    "family in two stems": "bass: [Bass]\nlow: [Bass]\n",
    "absolute path": "/abs: [Bass]\n",
    "path upwards": "../x: [Bass]\n",
    "path": "a/b: [Bass]\n",
    "empty name": "'': [Bass]\n",
    "NUL in a name": '"a\\0b": [Bass]\n',
    "number as value": "bass: 3\n",
    "nested": "bass: [[Bass]]\n",
    "map as value": "bass: {a: b}\n",
    "number as key": "1: [Bass]\n" + "mix: [Piano]\n",
    "deep": "bass: " + 5000 * "[",
    "not UTF-8": b"caf\xe9: [Bass]\n",
    "integer of 5,000 digits": f"bass: {5000 * '9'}\n",
}


def _fifo(folder: Path, _: Path) -> None:
    os.mkfifo(folder / "bad.yaml")


def _folder(folder: Path, _: Path) -> None:
    (folder / "bad.yaml").mkdir()


def _unreadable(folder: Path, _: Path) -> None:
    (folder / "bad.yaml").symlink_to("bad.yaml")


def cases() -> list[Case]:
    """All of them."""
    found = [
        Case(f"yaml: {name}", TRAIN, (NAMED.get(name, "bad.yaml"),), {"bad.yaml": content})
        for name, content in CONTENTS.items()
    ]
    for name, prepare in (("a pipe", _fifo), ("a folder", _folder), ("a link to itself", _unreadable)):
        found.append(Case(f"yaml: {name}", TRAIN, ("bad.yaml",), prepare=prepare))
    for device in ("/dev/zero", "/dev/null", "nowhere.yaml", 300 * "n", "n\nn.yaml"):
        command = ("train_synctrack.py", "--config", device)
        found.append(Case(f"yaml: --config {device[:20]!r}", command, (device.split()[-1][:80],)))
    midi = ("prepare_data.py", "midi", "--midi", "midi", "--out", "out", "--stem-map", "map.yaml")
    midi += ("--soundfont", "{shared}/bin/clicks.sf2")
    for name, content in STEM_MAPS.items():
        files = {"map.yaml": content, "midi/empty.mid": b""}
        found.append(Case(f"stem map: {name}", midi, ("map.yaml",), files))
    return found
