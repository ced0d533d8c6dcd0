"""Distances between sets of embeddings that do not depend on how many there are: FAD-infinity and KAD.

FAD is biased upwards by about a constant over the number of embeddings. FAD-infinity fits FAD against 1/n over
subsets and takes the value at 1/n = 0. KAD is the unbiased estimate of the squared maximum mean discrepancy.

Embeddings of one song are alike and no independent draws. Where `songs` says which song each comes from, subsets are
of whole songs, n is the number of songs, and KAD leaves out the pairs within a song.
"""

import numpy as np

from synctrack.metrics.frechet import frechet_distance

SUBSETS = 12
FEWEST_PATCHES, FEWEST_SONGS = 8, 3  # to extrapolate from
MOST = 2000  # embeddings of a set that KAD looks at


Songs = tuple[np.ndarray, np.ndarray]
"""Of both sets, (n,) and (m,), the number of the song that each embedding comes from, ascending."""


def num_songs(songs: Songs) -> int:
    """How many songs the set with fewer of them has."""
    return min(len(np.unique(owner)) for owner in songs)


def frechet_infinity(first: np.ndarray, second: np.ndarray, seed: int = 0, songs: Songs | None = None) -> float:
    """FAD extrapolated to endless sets. May be slightly below 0 for sets of the same kind.

    Args:
        first: (n, d) embeddings, n >= 8.
        second: (m, d) embeddings, m >= 8.
        seed: of the subsets.
        songs: of the embeddings, at least 3 of each set; where None, each is of a song of its own.

    Raises:
        ValueError: as `frechet_distance`, or a set has fewer than 8 embeddings or 3 songs.

    Source: M. Chong, D. Forsyth, "Effectively unbiased FID and inception score and where to find them", CVPR 2020;
    A. Gui et al., "Adapting Fréchet audio distance for generative music evaluation", ICASSP 2024.
    """
    patches = min(len(first), len(second))
    if patches < FEWEST_PATCHES:
        raise ValueError(f"embeddings: {patches} are too few to extrapolate from; {FEWEST_PATCHES} or more are needed")
    owners = songs or (np.arange(len(first)), np.arange(len(second)))
    numbers = [np.unique(owner) for owner in owners]
    most = min(map(len, numbers))
    if most < FEWEST_SONGS:
        raise ValueError(f"songs: {most} are too few to extrapolate from; {FEWEST_SONGS} or more are needed")
    generator = np.random.default_rng(seed)
    sizes = np.unique(np.round(1 / np.linspace(1 / most, min(4 / most, 0.5), SUBSETS)).astype(int))

    def subset(values: np.ndarray, owner: np.ndarray, known: np.ndarray, size: int) -> np.ndarray:
        return values[np.isin(owner, generator.choice(known, size, replace=False))]

    distances = [
        frechet_distance(subset(first, owners[0], numbers[0], size), subset(second, owners[1], numbers[1], size))
        for size in sizes
    ]
    _, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return float(at_infinity)


def kernel_distance(
    first: np.ndarray, second: np.ndarray, bandwidth: float | None = None, songs: Songs | None = None
) -> float:
    """KAD: the unbiased squared maximum mean discrepancy under a Gaussian kernel; 0 on average for sets of a kind.

    Args:
        first: (n, d) embeddings, n >= 2.
        second: (m, d) embeddings, m >= 2.
        bandwidth: of the kernel; the median distance within `second` where None.
        songs: of the embeddings; where None, each is of a song of its own.

    Returns:
        The distance; NaN where a set has a single song.

    Source: A. Gretton et al., "A kernel two-sample test", JMLR 2012, lemma 6; Y. Chung et al., "KAD: no more FAD!",
    2025, for the median distance of the reference as bandwidth.
    """
    return mean_discrepancy(gaussian_kernels(first, second, bandwidth), songs)


Kernels = tuple[np.ndarray, np.ndarray, np.ndarray]


def mean_discrepancy(kernels: Kernels, songs: Songs | None = None) -> float:
    """KAD from the kernels of all pairs that `gaussian_kernels` gave; see `kernel_distance`."""
    *within, across = kernels
    owners = songs or tuple(np.arange(len(kernel)) for kernel in within)
    means = []
    for kernel, owner in zip(within, owners, strict=True):
        apart = owner[:, None] != owner
        means.append(kernel[apart].mean() if apart.any() else np.nan)
    return float(sum(means) - 2 * across.mean())


def gaussian_kernels(first: np.ndarray, second: np.ndarray, bandwidth: float | None = None) -> Kernels:
    """The kernel between all pairs: (n, n) within `first`, (m, m) within `second`, (n, m) across.

    Args:
        first: (n, d) embeddings.
        second: (m, d) embeddings, m >= 2.
        bandwidth: of the kernel; the median distance within `second` where None.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    within_y = _squared_distances(y, y)
    if bandwidth is None:
        bandwidth = float(np.sqrt(np.median(within_y[np.triu_indices(len(y), 1)]))) or 1.0
    scale = 2 * bandwidth**2
    within_x, within_y, across = (
        np.exp(-distances / scale) for distances in (_squared_distances(x, x), within_y, _squared_distances(x, y))
    )
    # Rounding leaves a patch a little away from itself.
    np.fill_diagonal(within_x, 1.0)
    np.fill_diagonal(within_y, 1.0)
    return within_x, within_y, across


def _squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.maximum(squares - 2 * first @ second.T, 0)


def thinned(count: int, most: int, seed: int) -> np.ndarray:
    """At most `most` of the numbers below `count`, drawn without replacement, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
