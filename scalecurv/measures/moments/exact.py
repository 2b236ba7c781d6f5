"""Exact sums: tr H and tr H^2 of a piecewise-linear MLP, tr H and tr G over the tensors of any model.

Where an MLP has too many outputs for the sum, output probes give tr H.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from scalecurv.affine.traces import tensor_traces
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import Perturbation, allowing, rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.mlp.block_norms import split_norms
from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import layer_traces, output_probe_terms
from scalecurv.problem.graphs import inner_eps
from scalecurv.problem.remembered import remembered
from scalecurv.problem.structure import MLP
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.intervals import student_estimate
from scalecurv.statistics.stopping import Tolerance

MIN_FREEDOM = 30  # degrees of freedom below which a standard error is a guess


@dataclass(frozen=True)
class KnownTrace:
    """tr H of the whole model, and of each layer's diagonal block by the name of the layer.

    `tensors` has the traces of single parameters that are exact, by name, where a layer has several.
    """

    whole: Estimate
    layers: dict[str, Estimate]
    tensors: dict[str, Estimate] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Return True where the trace is an exact sum, not sampled."""
        return self.whole.status is Status.EXACT


def mlp_trace(evaluation: Evaluation, strategy: Strategy) -> KnownTrace | None:
    """Return tr H = tr G of a piecewise-linear MLP without a Hessian product, remembered; None for other models.

    It is None too where the structure gives only a sampled trace and H is written out.
    """
    mlp = strategy.structure(evaluation.problem)
    if mlp is None:
        return None
    if strategy.trace_is_exact(evaluation.problem):
        return _exact(evaluation)
    if strategy.dense_is_taken(evaluation.problem):
        return None
    return probed_trace(evaluation, strategy.rtol, strategy.max_matvecs)


@remembered
def _exact(evaluation: Evaluation) -> KnownTrace:
    """Return tr H as a sum over layers, from one backward pass an output."""
    mlp = _structure(evaluation)
    traces = layer_traces(evaluation.double, mlp).cpu().numpy()
    method = f"sum over layers, {evaluation.problem.num_outputs} backward passes"
    layers = {name: Estimate.exact(float(t), method) for name, t in zip(mlp.layers, traces, strict=True)}
    return KnownTrace(Estimate.exact(float(traces.sum()), method), layers)


@remembered
def probed_trace(evaluation: Evaluation, rtol: float, max_matvecs: int) -> KnownTrace:
    """Return tr H from output probes, remembered: random signs on the outputs, one backward pass each.

    The passes double from 2 until the whole trace is inside the tolerance, or half of `max_matvecs` is spent.
    """
    mlp, passes = _structure(evaluation), list[np.ndarray]()
    count = 2
    while True:
        passes += [output_probe_terms(evaluation.double, mlp, evaluation.seed, i) for i in range(len(passes), count)]
        terms = np.stack(passes)  # (q, N, L)
        whole = Tolerance(rtol).settle(probed_estimate(terms.sum(2)))
        if whole.status is not Status.BUDGET or 2 * count > max_matvecs // 2:
            break
        count *= 2
    layers = {name: probed_estimate(terms[:, :, l]) for l, name in enumerate(mlp.layers)}
    return KnownTrace(whole, layers)


def probed_estimate(
    terms: np.ndarray,
    confidence: float = 0.95,
    method: str | None = None,
    least: float = MIN_FREEDOM,
    skewness: float = 0.0,
) -> Estimate:
    """Return the estimate sum_i mean_a Y_ai from q >= 2 passes over N samples, Y being `terms` of shape (q, N).

    Blocks of samples may take the place of samples. The squared standard error is sum_i s_i^2 / q, where s_i^2 is the
    variance of the terms of sample i over the passes: differences between samples are not part of it. Degrees of
    freedom after Satterthwaite 1946; with fewer than `least` the interval is (-inf, inf), as the standard error is a
    guess. It is widened for the `skewness` of the estimate (see `skewed_quantile`).
    """
    q, N = terms.shape
    variances = terms.var(axis=0, ddof=1)
    stderr = math.sqrt(float(variances.sum()) / q)
    freedom = (q + 1) * float(variances.sum()) ** 2 / (float((variances**2).sum()) or 1.0)
    method = method or f"{q} passes with output probes"
    estimate = student_estimate(
        float(terms.mean(axis=0).sum()),
        stderr,
        q * N,
        method,
        confidence,
        0,
        max(freedom, 1.0),
        skewness * math.sqrt(q * N),
    )
    if freedom < least:  # equal terms, whose spread is 0, count as too few degrees too
        return Estimate(estimate.value, stderr, -math.inf, math.inf, confidence, q * N, 0, method, Status.BUDGET)
    return estimate


def summed_trace(evaluation: Evaluation) -> KnownTrace:
    """Return tr H of a model whose outputs are affine in every tensor, from one backward pass an output."""
    space = evaluation.problem.space
    names = tuple(space.shapes)
    traces = tensor_sums(evaluation, names)
    layers = zip(space.layers, by_layer(evaluation, traces, names), strict=True)
    found = {name: exact_sum(evaluation, float(value)) for name, value in layers}
    single = single_tensors(evaluation, dict(zip(names, traces, strict=True)))
    return KnownTrace(exact_sum(evaluation, float(traces.sum())), found, single)


def gauss_newton_trace(evaluation: Evaluation, strategy: Strategy) -> Estimate | None:
    """Return tr G, G the Gauss-Newton matrix, as a sum over the tensors of any model, without a product.

    None for the routes "generic" and "dense", and where the outputs are too many.
    """
    if not (strategy.trace_is_known(evaluation.problem) and strategy.trace_is_exact(evaluation.problem)):
        return None
    return exact_sum(evaluation, float(tensor_sums(evaluation, tuple(evaluation.problem.space.shapes)).sum()))


@remembered
def tensor_sums(evaluation: Evaluation, names: tuple[str, ...]) -> np.ndarray:
    """Return tr G_WW of each named tensor W, (len(names),), weight decay included; remembered."""
    return tensor_traces(evaluation.double, names).cpu().numpy() if names else np.zeros(0)


def exact_sum(evaluation: Evaluation, value: float) -> Estimate:
    """Return the estimate of a sum over tensors: exact, or certified where `rounding_of_sums` is not 0."""
    found = Estimate.exact(value, f"sum over tensors, {evaluation.problem.num_outputs} backward passes")
    noise = rounding_of_sums(evaluation)
    return allowing(found, noise.trace, noise)


def rounding_of_sums(evaluation: Evaluation) -> Perturbation:
    """Return bounds on the rounding of exact sums: 0 unless narrower floats are inside, or the loss is user code."""
    unsure = evaluation.problem.loss.foreign or inner_eps(evaluation.double)
    return rounding_in_double(evaluation) if unsure else Perturbation()


def layer_of(name: str) -> str:
    """Return the layer of a parameter: the module that holds it, or itself where that is the model.

    Example:
        >>> layer_of("block.conv.weight"), layer_of("scale")
        ('block.conv', 'scale')
    """
    return name.rpartition(".")[0] or name


def by_layer(evaluation: Evaluation, values: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return the sums of numbers of tensors, (..., len(names)), over the tensors of each layer, (..., L)."""
    places = {name: l for l, name in enumerate(evaluation.problem.space.layers)}
    total = np.zeros((*values.shape[:-1], len(places)))
    for i, name in enumerate(names):
        total[..., places[layer_of(name)]] += values[..., i]
    return total


def single_tensors(evaluation: Evaluation, traces: dict[str, float]) -> dict[str, Estimate]:
    """Return the exact traces of tensors by name, without those that have the name of a layer."""
    layers = evaluation.problem.space.layers
    return {name: exact_sum(evaluation, float(value)) for name, value in traces.items() if name not in layers}


def exact_norms(evaluation: Evaluation, strategy: Strategy) -> np.ndarray | None:
    """Return |G|^2, 2 <G, R> and |R|^2 by pairs of layers, shape (3, L, L), where H = G + R; remembered.

    None where the strategy does not take tr H^2 as an exact sum.
    """
    mlp = strategy.structure(evaluation.problem)
    if mlp is None or not strategy.square_is_exact(evaluation.problem, mlp):
        return None
    return _split_norms(evaluation)


def exact_square(evaluation: Evaluation, strategy: Strategy) -> dict[str, Estimate] | None:
    """Return tr H^2 = sum |H_ij|^2 of each layer's rows by the name of the layer, "" for the whole model.

    None where the strategy does not take it as an exact sum.
    """
    mlp, split = strategy.structure(evaluation.problem), exact_norms(evaluation, strategy)
    if mlp is None or split is None:
        return None
    norms = split.sum(0)
    method = "sum over pairs of samples and layers"
    layers = {name: Estimate.exact(float(row.sum()), method) for name, row in zip(mlp.layers, norms, strict=True)}
    return {"": Estimate.exact(float(norms.sum()), method), **layers}


@remembered
def _split_norms(evaluation: Evaluation) -> np.ndarray:
    return split_norms(evaluation.double, _structure(evaluation)).cpu().numpy()


def _structure(evaluation: Evaluation) -> MLP:
    """Return the MLP that `Strategy.structure` has found before."""
    mlp = structure_of(evaluation.problem)
    assert mlp is not None
    return mlp
