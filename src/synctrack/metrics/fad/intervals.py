"""Intervals of FAD-infinity and KAD from halves of the songs: patches of one song are alike, songs are drawn whole.

The spread of halves drawn without replacement is that of the whole set: D. Politis, J. Romano and M. Wolf,
"Subsampling", 1999. Songs drawn with replacement, as a bootstrap does, would bias both distances upwards, because a
patch would meet itself. Of an odd number of songs, each half is at random the smaller or the larger one.

For sets of the same kind the spread of KAD falls faster than with the root of the number of songs, so that its interval
is too wide near 0, by about two: it is safe to read from it that sets differ.
"""

import numpy as np
from scipy.special import stdtrit

from synctrack.metrics.fad.distances import FEWEST_PATCHES, FEWEST_SONGS, Kernels, Songs, frechet_infinity, num_songs

ROUNDS_KAD = 200
ROUNDS_INFINITY = 20
ROUNDS_OF_WIDE = 6  # rounds where an eigenvalue problem takes long
WIDE = 128  # dimensions
FEWEST_DRAWS = 3

Interval = tuple[float, float] | None


def _halves(count: int, rounds: int, generator: np.random.Generator) -> np.ndarray:
    """(rounds, count) booleans, half of each row True."""
    order = np.argsort(generator.random((rounds, count)), axis=1)
    larger = generator.integers(0, 2, (rounds, 1)) if count % 2 else 0
    return order < np.maximum(2, count // 2 + larger)


def _around(value: float | None, draws: np.ndarray) -> Interval:
    """`value` and the standard deviation of its draws as a 95 % interval; None where either does not exist."""
    known = draws[np.isfinite(draws)]
    if value is None or len(known) < FEWEST_DRAWS:
        return None
    # Student's t, since the deviation itself comes from these draws alone.
    width = float(stdtrit(len(known) - 1, 0.975) * known.std(ddof=1))
    return value - width, value + width


def infinity_interval(value: float | None, first: np.ndarray, second: np.ndarray, songs: Songs, seed: int) -> Interval:
    """95 % interval of FAD-infinity; None where halves have too few patches or songs.

    Args:
        value: FAD-infinity of all.
        first: (n, d) embeddings.
        second: (m, d) embeddings.
        songs: (n,) and (m,), the number of the song of each embedding.
        seed: of the halves.
    """
    if num_songs(songs) < 2 * FEWEST_SONGS:
        return None
    generator = np.random.default_rng(seed)
    rounds = ROUNDS_INFINITY if first.shape[1] <= WIDE else ROUNDS_OF_WIDE
    halves = [_halves(owner[-1] + 1, rounds, generator) for owner in songs]
    draws = []
    for chosen in zip(*halves, strict=True):
        kept = [half[owner] for half, owner in zip(chosen, songs, strict=True)]
        if min(mask.sum() for mask in kept) >= FEWEST_PATCHES:
            owners = songs[0][kept[0]], songs[1][kept[1]]
            draws.append(frechet_infinity(first[kept[0]], second[kept[1]], seed, owners))
    return _around(value, np.array(draws))


def kernel_interval(value: float, kernels: Kernels, songs: Songs, seed: int) -> Interval:
    """95 % interval of KAD.

    The kernel is summed over each pair of songs once; each half is then a sum over pairs of its songs.

    Args:
        value: KAD of all.
        kernels: of `gaussian_kernels`.
        songs: the number of the song of each embedding, of both sets, ascending.
        seed: of the halves.
    """
    generator = np.random.default_rng(seed)
    starts = [np.flatnonzero(np.diff(owner, prepend=-1)) for owner in songs]
    sizes = [np.diff(start, append=len(owner)) for start, owner in zip(starts, songs, strict=True)]
    within_x, within_y, across = (
        np.add.reduceat(np.add.reduceat(kernel, starts[i], axis=0), starts[j], axis=1)
        for kernel, (i, j) in zip(kernels, ((0, 0), (1, 1), (0, 1)), strict=True)
    )
    a, b = (_halves(len(size), ROUNDS_KAD, generator).astype(float) for size in sizes)
    n, m = a @ sizes[0], b @ sizes[1]

    def mean_within(half: np.ndarray, sums: np.ndarray, size: np.ndarray) -> np.ndarray:
        apart = np.where(np.eye(len(sums), dtype=bool), 0, sums)
        pairs = (half @ size) ** 2 - half @ size**2
        return np.einsum("ri,ij,rj->r", half, apart, half, optimize=True) / pairs

    between = np.einsum("ri,ij,rj->r", a, across, b, optimize=True) / (n * m)
    return _around(value, mean_within(a, within_x, sizes[0]) + mean_within(b, within_y, sizes[1]) - 2 * between)
