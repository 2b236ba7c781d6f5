"""scikit-learn's bundled digits, the data set of every benchmark here."""

import numpy as np
from sklearn.datasets import load_digits


def digits(num_samples: int = 1797) -> tuple[np.ndarray, np.ndarray]:
    """x (N, 64) float64 in 0..1 and y (N,) classes, in a fixed random order."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))[:num_samples]
    return bunch.data[order] / 16, bunch.target[order].astype(np.int64)
