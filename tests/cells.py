"""The cells of the calibration table: problems with known Hessians, and every estimator through its stopping rule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scalecurv.geometry.scalar import scalar_curvature_of
from scalecurv.linalg.counting import CountingOperator
from scalecurv.linalg.foreign import DenseOperator
from scalecurv.measures import Curvature, Extremes, Moments
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.gradient import GradientFacts, gradient_facts
from scalecurv.measures.moments.exact import probed_trace
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate
from tests.digits import digits
from tests.quadratic import quadratic

NUM_PARAMS = 120
TOLERANCES = {
    "coarse": {"moments": 0.1, "curvature": 0.15, "extremes": 0.1},
    "fine": {"moments": 0.02, "curvature": 0.03, "extremes": 0.02},
}
BAND = (0.92, 0.98)
SPECTRA = {
    "outliers": np.concatenate([np.linspace(10, 20, 8), np.linspace(0, 0.5, NUM_PARAMS - 8)]),
    "flat": np.concatenate([np.ones(NUM_PARAMS // 2), np.zeros(NUM_PARAMS // 2)]),
    "power law": 1 / np.arange(1.0, NUM_PARAMS + 1),
    "indefinite": np.linspace(-1.93, 2.0, NUM_PARAMS) ** 3,  # T is half of |H|_F: most of it cancels
}


@dataclass(frozen=True)
class Cell:
    """A problem, its dense Hessian and the truth about every quantity."""

    name: str
    problem: Problem
    H: Tensor
    facts: GradientFacts

    def truth(self) -> dict[str, float]:
        T, F = float(torch.trace(self.H)), float((self.H**2).sum())
        values = torch.linalg.eigvalsh(self.H)
        facts = self.facts
        return {
            "trace": T,
            "trace_h2": F,
            "scalar_curvature": scalar_curvature_of(T, T * T, F, facts.beta, facts.ghg, facts.gh2g),
            "t2_minus_f": T * T - F,
            "lambda_max": float(values[-1]),
            "lambda_min": float(values[0]),
        }

    def evaluation(self, seed: int) -> Evaluation:
        """Return an evaluation that multiplies by the dense matrix, which is quicker and gives equal numbers."""
        H = DenseOperator(self.H, symmetric=True)

        def run(
            problem: Problem, make: object, terms: Callable[..., np.ndarray], seed: int, blocks: list[range]
        ) -> list[object]:
            return [(terms(H, seed, ids), len(ids)) for ids in blocks]

        evaluation = Evaluation(self.problem, seed, run)  # type: ignore[arg-type]
        evaluation.hessian = CountingOperator(H)
        return evaluation


def spectrum_cell(name: str) -> Cell:
    """Return a quadratic with a prescribed spectrum in random directions, and a gradient of length 0.5."""
    rng = torch.Generator().manual_seed(1)
    Q, _ = torch.linalg.qr(torch.randn(NUM_PARAMS, NUM_PARAMS, generator=rng, dtype=torch.float64))
    A = Q * torch.from_numpy(SPECTRA[name]) @ Q.T
    g = functional.normalize(torch.randn(NUM_PARAMS, generator=rng, dtype=torch.float64), dim=0) / 2
    return _cell(name, quadratic((A + A.T) / 2, g))


def digits_cell(steps: int, loss: str) -> Cell:
    """Return an MLP 16-6-10 on 100 digits, every fourth pixel, after `steps` of full-batch descent: P = 172."""
    x, y = (torch.from_numpy(array) for array in digits(100))
    x = x[:, 1::4].contiguous()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 10)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    targets = functional.one_hot(y, 10).double()
    for _ in range(steps):
        optimizer.zero_grad()
        f = model(x)
        (functional.cross_entropy(f, y) if loss == "cross_entropy" else ((f - targets) ** 2).sum() / 200).backward()
        optimizer.step()
    return _cell(f"mlp {loss} {steps}", Problem(model, (x, y), loss))


def _cell(name: str, problem: Problem) -> Cell:
    evaluation = Evaluation(problem)
    H = evaluation.hessian @ torch.eye(problem.num_params, dtype=torch.float64)
    return Cell(name, problem, (H + H.T) / 2, gradient_facts(evaluation))


@cache
def cells() -> tuple[Cell, ...]:
    """Return three spectra, two networks, and a spectrum that mostly cancels."""
    *plain, cancelling = SPECTRA
    networks = (digits_cell(30, "cross_entropy"), digits_cell(200, "mse"))
    return (*map(spectrum_cell, plain), *networks, spectrum_cell(cancelling))


def answers(
    cell: Cell, seed: int, rtols: dict[str, float], routes: tuple[str, ...] = ("sampled", "generic")
) -> Iterator[tuple[str, str, Estimate]]:
    """Yield (route, quantity, estimate) of every estimator that samples, each asked for its tolerance."""
    evaluation, is_mlp = cell.evaluation(seed), cell.name.startswith("mlp")
    for route in routes if is_mlp else ("generic",):
        moments = Moments(rtols["moments"], 4000, route=route).compute(evaluation).estimates
        curvature = Curvature(rtols["curvature"], 4000, route=route).compute(evaluation).estimates
        for name in ("trace", "trace_h2", "scalar_curvature", "t2_minus_f"):
            estimate = (moments | curvature)[name]
            if estimate.status != "exact":
                yield route, name, estimate
    if is_mlp:
        probed = probed_trace(evaluation, rtols["moments"] / 3, 4000)
        yield "probed", "trace", probed.whole
    for name, estimate in Extremes(rtols["extremes"], 4000, route="generic").compute(evaluation).estimates.items():
        yield "lanczos", name, estimate
