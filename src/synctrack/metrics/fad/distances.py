"""Distances between sets of embeddings that do not depend on how many there are: FAD-infinity and KAD.

FAD is biased upwards by about a constant over the number of embeddings. FAD-infinity fits FAD against 1/n over
subsets and takes the value at 1/n = 0. KAD is the unbiased estimate of the squared maximum mean discrepancy.
"""

import numpy as np

from synctrack.metrics.frechet import frechet_distance

SUBSETS = 12
MOST = 2000  # embeddings of a set that KAD looks at


def frechet_infinity(first: np.ndarray, second: np.ndarray, seed: int = 0) -> float:
    """FAD extrapolated to endless sets. May be slightly below 0 for sets of the same kind.

    Args:
        first: (n, d) embeddings, n >= 8.
        second: (m, d) embeddings, m >= 8.
        seed: of the subsets.

    Raises:
        ValueError: as `frechet_distance`, or a set has fewer than 8 embeddings.

    Source: M. Chong, D. Forsyth, "Effectively unbiased FID and inception score and where to find them", CVPR 2020;
    A. Gui et al., "Adapting Fréchet audio distance for generative music evaluation", ICASSP 2024.
    """
    most = min(len(first), len(second))
    if most < 8:
        raise ValueError(f"embeddings: {most} are too few to extrapolate from; 8 or more are needed")
    generator = np.random.default_rng(seed)
    sizes = np.unique(np.round(1 / np.linspace(1 / most, 4 / most, SUBSETS)).astype(int))
    distances = [
        frechet_distance(
            first[generator.choice(len(first), size, replace=False)],
            second[generator.choice(len(second), size, replace=False)],
        )
        for size in sizes
    ]
    _, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return float(at_infinity)


def kernel_distance(first: np.ndarray, second: np.ndarray, bandwidth: float | None = None) -> float:
    """KAD: the unbiased squared maximum mean discrepancy under a Gaussian kernel; 0 on average for sets of a kind.

    Args:
        first: (n, d) embeddings, n >= 2.
        second: (m, d) embeddings, m >= 2.
        bandwidth: of the kernel; the median distance within `second` where None.

    Source: A. Gretton et al., "A kernel two-sample test", JMLR 2012, lemma 6; Y. Chung et al., "KAD: no more FAD!",
    2025, for the median distance of the reference as bandwidth.
    """
    return mean_discrepancy(gaussian_kernels(first, second, bandwidth))


Kernels = tuple[np.ndarray, np.ndarray, np.ndarray]


def mean_discrepancy(kernels: Kernels) -> float:
    """KAD from the kernels of all pairs that `gaussian_kernels` gave."""
    *within, across = kernels
    means = [(kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in within]
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
