"""The Fréchet distance between two sets of embeddings, as used by the Fréchet audio distance (FAD).

Source: D. Dowson, B. Landau, "The Fréchet distance between multivariate normal distributions", 1982; K. Kilgour et al.,
"Fréchet audio distance", 2019.
"""

import numpy as np


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets: |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).

    The trace of the square root comes from eigenvalues of the symmetric C1^½ C2 C1^½, which is real and stable where
    a matrix square root of the product C1 C2 may fail or be complex.

    Args:
        first: (n, d) embeddings, n >= 2.
        second: (m, d) embeddings, m >= 2.

    Returns:
        A number of 0 or more. With few embeddings it is biased upwards; compare sets of equal size only.

    Raises:
        ValueError: a set is not (n >= 2, d), the dimensions differ, or a value is not finite.
    """
    sets = [np.asarray(values, np.float64) for values in (first, second)]
    if any(values.ndim != 2 or len(values) < 2 for values in sets) or sets[0].shape[1] != sets[1].shape[1]:
        raise ValueError(f"embeddings: shapes {sets[0].shape} and {sets[1].shape} must be (2 or more, d), d equal")
    if not all(np.isfinite(values).all() for values in sets):
        raise ValueError("embeddings: hold values that are not finite")
    means = [values.mean(axis=0) for values in sets]
    covariances = [np.atleast_2d(np.cov(values, rowvar=False)) for values in sets]
    variances, axes = np.linalg.eigh(covariances[0])
    root = (axes * np.sqrt(np.maximum(variances, 0))) @ axes.T
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    overlap = np.sqrt(np.maximum(product, 0)).sum()
    distance = np.sum((means[0] - means[1]) ** 2) + sum(np.trace(c) for c in covariances) - 2 * overlap
    return float(max(distance, 0.0))
