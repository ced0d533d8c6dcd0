"""Fit the weights of the evidence by which `synctrack check` finds a stem out of time, and the costs of a fault.

    python experiments/fit_check.py --midi FOLDER [--grooves 60] [--out FOLDER]

Songs are grooves and song folders that `prepare_data.py midi` rendered, in windows of 20 s. Of each window, every stem
is moved by 20 to 300 ms (log-uniform), and nothing as well. The log-odds of a stem and lag against no fault are a
weighted sum of what `synctrack.metrics.check.evidence` measures, less a cost that grows with the lag; weights and costs
maximise the likelihood of what was done (conditional logit), faultless windows counting half in all. Prints them, and
how often the right stem and lag come first, for windows that were fitted and for every fifth song, which was not.
Onsets are kept under --out.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from check_detection import SAMPLE_RATE, content_of, folder_songs, groove_stems, kept, read_stems
from synctrack.errors import InputError, run_command
from synctrack.metrics.check.align import LONG_LAG
from synctrack.metrics.check.evidence import LAGS, NO_LAG, WEIGHTS, pair_features
from synctrack.metrics.onsets import CHROMA_PER_SECOND, FileOnsets, onsets_of

SECONDS = 20.0
FIRST_SEED = 9000
DRAWS = 3  # lags for each stem of a window
SMALLEST, LARGEST = 0.02, 0.3  # seconds
TOLERANCE = 0.0101  # seconds within which a lag is the right one
HELD_BACK = 5  # every fifth song is
RIDGE = 1e-3

Stems = dict[str, FileOnsets]


@dataclass(frozen=True)
class Case:
    """A window with a stem moved.

    Attributes:
        evidence: (stems, features, lags) of each stem against all others, less what it is without a lag.
        stem: which was moved; None if none was.
        lag: by how many seconds.
        held_back: whether it is not fitted.
    """

    evidence: np.ndarray
    stem: int | None
    lag: float
    held_back: bool


def windows(samples: dict[str, np.ndarray]) -> list[Stems]:
    """The onsets of each whole window of a song in which three stems or more have enough, of these stems."""
    size = round(SECONDS * SAMPLE_RATE)
    result = []
    for begin in range(0, min(len(wave) for wave in samples.values()) - size + 1, size):
        found = {stem: onsets_of(wave[begin : begin + size], SAMPLE_RATE) for stem, wave in samples.items()}
        usable = {stem: onsets for stem, onsets in found.items() if onsets.problem is None}
        result += [usable] if len(usable) >= 3 else []
    return result


def moved(file: FileOnsets, lag: float) -> FileOnsets:
    """Onsets as they would be found had the stem been late by `lag` seconds, what leaves the window being cut."""
    times = file.times + lag
    inside = (times >= 0) & (times < file.duration)
    at = np.arange(len(file.chroma)) / CHROMA_PER_SECOND
    chroma = [np.interp(at - lag, at, bins, left=0.0, right=bins[-1]) for bins in file.chroma.T]
    return replace(
        file,
        times=times[inside],
        strengths=file.strengths[inside],
        chroma=np.stack(chroma, axis=1),
        start=max(0.0, file.start + lag),
    )


def evidence_of(stems: Stems) -> np.ndarray:
    """(stems, features, lags) of each stem against all others, less the most of what it is without a lag."""
    rows = {name: row for row, name in enumerate(stems)}
    total = np.zeros((len(stems), len(WEIGHTS), len(LAGS)), np.float32)
    for (first, second), features in pair_features(stems).items():
        pair = np.stack([features[name] for name in WEIGHTS])
        total[rows[second]] += pair
        total[rows[first]] += pair[:, ::-1]
    return total - total[:, :, NO_LAG].max(axis=2, keepdims=True)


def cases(songs: list[list[Stems]]) -> Iterator[Case]:
    """Every window as it is, and with each of its stems moved."""
    draw = np.random.default_rng(FIRST_SEED)
    for number, song in enumerate(tqdm(songs, desc="move stems", unit="song", disable=None)):
        held_back = number % HELD_BACK == HELD_BACK - 1
        for stems in song:
            yield Case(evidence_of(stems), None, 0.0, held_back)
            for index, stem in enumerate(stems):
                for _ in range(DRAWS):
                    size = np.exp(draw.uniform(np.log(SMALLEST), np.log(LARGEST)))
                    lag = float(size * draw.choice([-1, 1]))
                    late = moved(stems[stem], lag)
                    if late.problem is None:
                        yield Case(evidence_of({**stems, stem: late}), index, lag, held_back)


class Model(torch.nn.Module):
    """Log-odds (cases, stems · lags) of every stem and lag against no fault."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.full((len(WEIGHTS),), 0.5))
        self.costs = torch.nn.Parameter(torch.tensor([4.0, 1.0, 10.0]))
        sizes = torch.from_numpy(np.abs(LAGS)).float()
        self.register_buffer("sizes", torch.stack([torch.ones_like(sizes), sizes, (sizes - LONG_LAG).clamp(min=0)]))

    def forward(self, evidence: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        odds = torch.einsum("csfl,f->csl", evidence, self.weights) - self.costs @ self.sizes
        return odds.masked_fill(~there[..., None], -1e9).flatten(1)


def packed(chosen: list[Case]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Evidence (cases, stems, features, lags), which stems are there, what is right, and which have no fault."""
    most = max(len(case.evidence) for case in chosen)
    evidence = torch.zeros(len(chosen), most, len(WEIGHTS), len(LAGS))
    there = torch.zeros(len(chosen), most, dtype=torch.bool)
    right = torch.zeros(len(chosen), most, len(LAGS), dtype=torch.bool)
    for row, case in enumerate(chosen):
        evidence[row, : len(case.evidence)] = torch.from_numpy(case.evidence)
        there[row, : len(case.evidence)] = True
        if case.stem is not None:
            right[row, case.stem] = torch.from_numpy(np.abs(LAGS - case.lag) <= TOLERANCE)
    return evidence, there, right.flatten(1), torch.tensor([case.stem is None for case in chosen])


def fit(chosen: list[Case]) -> Model:
    """The weights and costs of most likelihood."""
    evidence, there, right, faultless = packed(chosen)
    emphasis = torch.where(faultless, 0.5 / faultless.float().mean(), 1.0)
    model = Model()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        odds = model(evidence, there)
        total = torch.logsumexp(torch.cat([odds, torch.zeros(len(odds), 1)], dim=1), dim=1)
        done = torch.where(faultless, 0.0, torch.logsumexp(odds.masked_fill(~right, -1e9), dim=1))
        value = (emphasis * (total - done)).mean() + RIDGE * (model.weights**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return model


def report(label: str, model: Model, chosen: list[Case]) -> None:
    evidence, there, right, faultless = packed(chosen)
    with torch.no_grad():
        odds = model(evidence, there)
    said, place = odds.max(dim=1)
    stem, lag = place // len(LAGS), torch.from_numpy(LAGS)[place % len(LAGS)]
    found = (said > 0) & (lag.abs() > SMALLEST / 2)
    named = torch.tensor([case.stem == int(index) for case, index in zip(chosen, stem, strict=True)]) & found
    exact = named & right[torch.arange(len(chosen)), place]
    faulty = ~faultless
    shares = [100 * float(hits[faulty].float().mean()) for hits in (named, exact)]
    print(f"{label}: right stem {shares[0]:.1f} %, and lag {shares[1]:.1f} % of {int(faulty.sum())}", end="; ")
    print(f"false alarms {int(found[faultless].sum())} of {int(faultless.sum())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grooves", type=int, default=60, help="how many (default: %(default)s)")
    parser.add_argument("--midi", type=Path, metavar="FOLDER", help="of songs rendered from MIDI files")
    parser.add_argument("--out", type=Path, default=Path("runs/fit_check"), help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.grooves < HELD_BACK:
        raise InputError(f"--grooves {arguments.grooves}: must be at least {HELD_BACK}")
    makers = {
        f"groove_{seed}": lambda seed=seed: groove_stems(seed, SECONDS)
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.grooves)
    }
    for song in folder_songs(arguments.midi, SECONDS) if arguments.midi else []:
        makers[f"song_{content_of(song)}"] = lambda song=song: read_stems(song, 2 * SECONDS)
    songs = [
        kept(arguments.out / f"{name}.pickle", lambda make=make: windows(make()))
        for name, make in tqdm(makers.items(), desc="onsets", unit="song", disable=None)
    ]
    everything = list(cases(songs))
    model = fit([case for case in everything if not case.held_back])
    for name, weight in zip(WEIGHTS, model.weights.tolist(), strict=True):
        print(f"weight of {name}: {weight:.2f}")
    for name, cost in zip(
        ("a fault", "a second of lag", f"a second beyond {LONG_LAG} s"), model.costs.tolist(), strict=True
    ):
        print(f"cost of {name}: {cost:.2f}")
    report("fitted", model, [case for case in everything if not case.held_back])
    report("held back", model, [case for case in everything if case.held_back])


if __name__ == "__main__":
    run_command(main)
