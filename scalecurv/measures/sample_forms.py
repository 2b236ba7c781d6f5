"""Quadratic forms in the Hessians of single samples, their means over a drawn sample, and the standard errors."""

import math
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import Misuse
from scalecurv.linalg.inner import dots
from scalecurv.linalg.probes import generator
from scalecurv.operators.products import hessian_product
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch

STREAM = "from samples"
FEWEST = 16  # samples from which a standard error can be told
GROUPS = 64  # groups of samples at most give the standard error, one small product each


@dataclass(frozen=True, eq=False)
class Forms:
    """Sums over G groups of samples of y_i = v'H_i v for several unit v, and of the weights w_i in the mean.

    `sums` is (G, k), `weights` (G,); `share` f is the share of the data that was drawn. `products` (P, k) is H_n V, H_n
    the mean of the sample, sum_i H_i / sum_i w_i. H_i has the unit in which H of all data is such a mean, and holds its
    share of the weight decay.
    """

    sums: np.ndarray
    weights: np.ndarray
    share: float
    products: Tensor

    def of(self, columns: slice, sign: float) -> "Forms":
        """Return the forms of these vectors alone, times `sign`."""
        return replace(self, sums=sign * self.sums[:, columns], products=sign * self.products[:, columns])

    def mean(self, combination: np.ndarray) -> float:
        """Return sum_g y_g / sum_g w_g of a linear combination (k,) of the forms."""
        return float((self.sums @ combination).sum() / self.weights.sum())

    def stderr(self, combination: np.ndarray) -> float:
        """Return the standard error of `mean`, sqrt((1 - f) G / (G - 1) sum_g (y_g - r w_g)^2) / sum_g w_g, r the mean.

        The draw is without replacement. (Cochran 1977, Sampling Techniques, sec. 6.4)

        Example:
            >>> forms = Forms(np.array([[1.0], [3.0]]), np.ones(2), 0.5, torch.zeros(1, 1))
            >>> forms.mean(np.ones(1)), forms.stderr(np.ones(1))
            (2.0, 0.7071067811865476)
        """
        G, rest = len(self.weights), self.sums @ combination - self.mean(combination) * self.weights
        return math.sqrt((1 - self.share) * G / (G - 1) * float((rest**2).sum())) / float(self.weights.sum())


def check_from_samples(count: int | None) -> None:
    """Raise Misuse where `from_samples` is given and is no whole number, or too small for a standard error."""
    if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < FEWEST):
        raise Misuse(f"from_samples is {count!r}; give a whole number of samples, at least {FEWEST}, or leave it out")


def drawn_samples(problem: Problem, count: int, seed: int) -> Tensor:
    """Return the numbers of `count` samples of the data, (count,), drawn without replacement from the seed.

    Samples of a smaller draw are the first of a larger one.
    """
    order = generator(seed, STREAM, 0).permutation(problem.num_data)
    return torch.from_numpy(order[:count]).to(problem.device)


def unit_of(some: Problem, whole: Problem) -> float:
    """Return the factor that turns H of `some`, samples drawn from `whole`, into an estimate of that of `whole`.

    It is 1 for the reduction "mean", and N/n for "sum". Weight decay is no part of either.
    """
    return 1.0 if whole.reduction == "mean" else whole.num_data / some.num_data


def forms_of(some: Problem, vectors: Tensor, whole: Problem) -> Forms:
    """Return the forms of `vectors` (P, k) in the Hessians of the samples of `some`, which were drawn from `whole`.

    Groups are of consecutive samples of the draw, and take one product each.
    """
    batch, count = some.whole, some.num_data
    each = some.loss.weights(batch.y).double().cpu().numpy() if some.reduction == "mean" else np.ones(count)
    bounds = np.linspace(0, count, min(count, GROUPS) + 1).round().astype(int)
    unit = 1 / some.scale if some.reduction == "mean" else whole.num_data  # of a sum over `some`: that of H_i
    sums, total = [], torch.zeros(vectors.shape, dtype=torch.float64, device=vectors.device)
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        product = hessian_product(some, Batch(batch.x[low:high], batch.y[low:high], low))(vectors)
        sums.append(unit * dots(vectors, product).cpu().numpy())
        total += product
    weights = np.add.reduceat(each, bounds[:-1])
    products = total * (unit / (float(weights.sum()) or 1.0)) + whole.weight_decay * vectors
    return Forms(np.array(sums) + whole.weight_decay * weights[:, None], weights, count / whole.num_data, products)
