"""Intervals of FAD-infinity and KAD from halves of the songs: patches of one song are alike, songs are drawn whole.

The spread of halves drawn without replacement is that of the whole set: D. Politis, J. Romano and M. Wolf,
"Subsampling", 1999. Songs drawn with replacement, as a bootstrap does, would bias both distances upwards, because a
patch would meet itself.
"""

import numpy as np

from synctrack.metrics.fad.distances import Kernels, frechet_infinity

ROUNDS_KAD = 200
ROUNDS_INFINITY = 20
ROUNDS_OF_WIDE = 6  # rounds where an eigenvalue problem takes long
WIDE = 128  # dimensions
NORMAL = 1.96  # standard deviations of a 95 % interval

Interval = tuple[float, float] | None


def _halves(count: int, rounds: int, generator: np.random.Generator) -> np.ndarray:
    """(rounds, count) booleans, half of each row True."""
    order = np.argsort(generator.random((rounds, count)), axis=1)
    return order < max(2, count // 2)


def _around(value: float | None, draws: np.ndarray) -> Interval:
    """`value` and the standard deviation of its draws as a 95 % interval; None where either does not exist."""
    known = draws[np.isfinite(draws)]
    if value is None or len(known) < 3:
        return None
    width = NORMAL * float(known.std(ddof=1))
    return value - width, value + width


def infinity_interval(
    value: float | None, first: np.ndarray, second: np.ndarray, songs: tuple[np.ndarray, np.ndarray], seed: int
) -> Interval:
    """95 % interval of FAD-infinity; None where halves have too few patches.

    Args:
        value: FAD-infinity of all.
        first: (n, d) embeddings.
        second: (m, d) embeddings.
        songs: (n,) and (m,), the number of the song of each embedding.
        seed: of the halves.
    """
    generator = np.random.default_rng(seed)
    rounds = ROUNDS_INFINITY if first.shape[1] <= WIDE else ROUNDS_OF_WIDE
    halves = [_halves(owner[-1] + 1, rounds, generator) for owner in songs]
    draws = []
    for chosen in zip(*halves, strict=True):
        parts = [values[half[owner]] for values, half, owner in zip((first, second), chosen, songs, strict=True)]
        if min(map(len, parts)) >= 8:
            draws.append(frechet_infinity(*parts, seed))
    return _around(value, np.array(draws))


def kernel_interval(value: float, kernels: Kernels, songs: tuple[np.ndarray, np.ndarray], seed: int) -> Interval:
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

    def mean_within(half: np.ndarray, sums: np.ndarray, count: np.ndarray) -> np.ndarray:
        # The kernel of a patch with itself is 1.
        return (np.einsum("ri,ij,rj->r", half, sums, half, optimize=True) - count) / (count * (count - 1))

    between = np.einsum("ri,ij,rj->r", a, across, b, optimize=True) / (n * m)
    return _around(value, mean_within(a, within_x, n) + mean_within(b, within_y, m) - 2 * between)
