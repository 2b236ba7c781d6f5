"""tr H^2 by structure: exact, from sums over pairs of samples."""

from scalecurv.curvature.block_norms import block_norms
from scalecurv.estimate import Estimate
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.plan import Plan


def exact_square(evaluation: Evaluation, plan: Plan) -> dict[str, Estimate] | None:
    """tr H^2 by layer's name, "" for the whole, where the structure gives it at a fair price; else None."""
    mlp = plan.structure(evaluation.problem)
    if mlp is None or not plan.square_is_exact(evaluation.problem, mlp):
        return None
    norms = evaluation.once("block norms", lambda: block_norms(evaluation.double, mlp).cpu().numpy())
    method = "sum over pairs of samples and layers"
    layers = {name: Estimate.exact(float(row.sum()), method) for name, row in zip(mlp.layers, norms, strict=True)}
    return {"": Estimate.exact(float(norms.sum()), method), **layers}
