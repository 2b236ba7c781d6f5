"""How much of a product is rounding: one product in the problem's own dtype against the same in float64."""

import torch

from scalecurv.estimate import Estimate
from scalecurv.linalg.inner import norms
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation

STREAM = "spot check"


def noise_floor(evaluation: Evaluation) -> Estimate:
    """|Hv - H64 v| / |H64 v| for one random vector v, remembered; not applicable where products are in float64."""
    if evaluation.problem.dtype == torch.float64:
        return Estimate.not_applicable("products are in float64")

    def compute() -> Estimate:
        problem = evaluation.problem
        v = probes(problem.num_params, evaluation.seed, STREAM, [0], dtype=problem.dtype, device=problem.device)
        exact = evaluation.double_hessian.matmat(v.double())
        off = evaluation.hessian.matmat(v).double() - exact
        size = float(norms(exact)[0])
        share = float(norms(off)[0]) / size if size else 0.0
        return Estimate.exact(share, f"one product, {str(problem.dtype).removeprefix('torch.')} against float64", 2)

    return evaluation.once("noise floor", compute)
