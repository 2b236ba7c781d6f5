"""tr H by the structure of a piecewise-linear MLP: exact, or from probes of many outputs."""

import math
from dataclasses import dataclass

import numpy as np

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.route import Strategy
from scalecurv.mlp.block_norms import split_norms
from scalecurv.mlp.trace import layer_traces, output_probe_terms
from scalecurv.problem.structure import MLP
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import student_estimate
from scalecurv.statistics.stopping import Tolerance

MIN_FREEDOM = 30  # degrees that a standard error needs to be believed


@dataclass(frozen=True)
class KnownTrace:
    """tr H of the whole model, and of each layer's block by the layer's name."""

    whole: Estimate
    layers: dict[str, Estimate]

    @property
    def exact(self) -> bool:
        return self.whole.status is Status.EXACT


def known_trace(evaluation: Evaluation, strategy: Strategy) -> KnownTrace | None:
    """The trace without a Hessian product, remembered; None where the structure does not give it.

    Nor is it given where it would be sampled while H is written out anyway.
    """
    mlp = strategy.structure(evaluation.problem)
    if mlp is None:
        return None
    if strategy.trace_is_exact(evaluation.problem):
        return evaluation.once("exact trace", lambda: _exact(evaluation, mlp))
    if strategy.dense_is_taken(evaluation.problem):
        return None
    return evaluation.once(
        ("probed trace", strategy.rtol, strategy.max_matvecs), lambda: probed_trace(evaluation, mlp, strategy)
    )


def _exact(evaluation: Evaluation, mlp: MLP) -> KnownTrace:
    traces = layer_traces(evaluation.double, mlp).cpu().numpy()
    method = f"sum over layers, {evaluation.problem.num_outputs} backward passes"
    layers = {name: Estimate.exact(float(t), method) for name, t in zip(mlp.layers, traces, strict=True)}
    return KnownTrace(Estimate.exact(float(traces.sum()), method), layers)


def probed_trace(evaluation: Evaluation, mlp: MLP, strategy: Strategy) -> KnownTrace:
    """tr H from output probes: 2, 4, 8, ... passes until the whole is inside the tolerance, or half of all is spent."""
    passes: list[np.ndarray] = []
    count = 2
    while True:
        passes += [output_probe_terms(evaluation.double, mlp, evaluation.seed, i) for i in range(len(passes), count)]
        terms = np.stack(passes)  # (q, N, L)
        whole = Tolerance(strategy.rtol).settle(probed_estimate(terms.sum(2)))
        if whole.status is not Status.BUDGET or 2 * count > strategy.max_matvecs // 2:
            break
        count *= 2
    layers = {name: probed_estimate(terms[:, :, l]) for l, name in enumerate(mlp.layers)}
    return KnownTrace(whole, layers)


def probed_estimate(terms: np.ndarray, confidence: float = 0.95) -> Estimate:
    """sum_i mean_a Y_ai from q passes over N samples, `terms` of shape (q, N), q >= 2.

    SE^2 = sum_i s_i^2 / q, s_i^2 the variance of sample i's terms over the passes: what differs between samples is no
    error. Degrees of freedom after Satterthwaite 1946; below 30 the interval is open, as the standard error is a guess.
    """
    q, N = terms.shape
    variances = terms.var(axis=0, ddof=1)
    stderr = math.sqrt(float(variances.sum()) / q)
    freedom = (q + 1) * float(variances.sum()) ** 2 / (float((variances**2).sum()) or 1.0)
    method = f"{q} passes with output probes"
    estimate = student_estimate(
        float(terms.mean(axis=0).sum()), stderr, q * N, method, confidence, 0, max(freedom, 1.0)
    )
    if freedom < MIN_FREEDOM:  # no spread at all is no evidence either
        return Estimate(estimate.value, stderr, -math.inf, math.inf, confidence, q * N, 0, method, Status.BUDGET)
    return estimate


def exact_norms(evaluation: Evaluation, strategy: Strategy) -> np.ndarray | None:
    """|G|^2, 2 <G, R> and |R|^2 by pairs of layers, shape (3, L, L), where structure gives them at a fair price."""
    mlp = strategy.structure(evaluation.problem)
    if mlp is None or not strategy.square_is_exact(evaluation.problem, mlp):
        return None
    return evaluation.once("split norms", lambda: split_norms(evaluation.double, mlp).cpu().numpy())


def exact_square(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate] | None:
    """tr H^2 by layer's name, "" for the whole, where the structure gives it at a fair price; else None."""
    mlp, split = strategy.structure(evaluation.problem), exact_norms(evaluation, strategy)
    if mlp is None or split is None:
        return None
    norms = split.sum(0)
    method = "sum over pairs of samples and layers"
    layers = {name: Estimate.exact(float(row.sum()), method) for name, row in zip(mlp.layers, norms, strict=True)}
    return {"": Estimate.exact(float(norms.sum()), method), **layers}
