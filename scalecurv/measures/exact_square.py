"""tr H^2 by structure: exact, from sums over pairs of samples."""

import numpy as np

from scalecurv.curvature.block_norms import split_norms
from scalecurv.estimate import Estimate
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.plan import Plan


def exact_norms(evaluation: Evaluation, plan: Plan) -> np.ndarray | None:
    """|G|^2, 2 <G, R> and |R|^2 by pairs of layers, shape (3, L, L), where structure gives them at a fair price."""
    mlp = plan.structure(evaluation.problem)
    if mlp is None or not plan.square_is_exact(evaluation.problem, mlp):
        return None
    return evaluation.once("split norms", lambda: split_norms(evaluation.double, mlp).cpu().numpy())


def exact_square(evaluation: Evaluation, plan: Plan) -> dict[str, Estimate] | None:
    """tr H^2 by layer's name, "" for the whole, where the structure gives it at a fair price; else None."""
    mlp, split = plan.structure(evaluation.problem), exact_norms(evaluation, plan)
    if mlp is None or split is None:
        return None
    norms = split.sum(0)
    method = "sum over pairs of samples and layers"
    layers = {name: Estimate.exact(float(row.sum()), method) for name, row in zip(mlp.layers, norms, strict=True)}
    return {"": Estimate.exact(float(norms.sum()), method), **layers}
