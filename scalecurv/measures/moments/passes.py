"""tr H where a part of it is sampled, by fresh probes or output probes: the road, the passes, the interval."""

import math
from dataclasses import dataclass

import numpy as np

from scalecurv.affine.traces import output_probe_terms
from scalecurv.measures.evaluation import BLOCK, Evaluation
from scalecurv.measures.moments.exact import (
    MIN_FREEDOM,
    KnownTrace,
    by_layer,
    exact_sum,
    layer_of,
    probed_estimate,
    rounding_of_sums,
    single_tensors,
    tensor_sums,
)
from scalecurv.measures.moments.fresh import TRIAL, FreshTerms, num_blocks
from scalecurv.measures.noise import Perturbation, rounding_in_double
from scalecurv.measures.route import Strategy
from scalecurv.problem.remembered import remembered
from scalecurv.statistics.estimate import Estimate, Status
from scalecurv.statistics.stopping import MARGIN, MOST, Tolerance

SHARE = 0.1  # a value smaller than this share of the numbers that cancel in it is wanted to rtol of the share
FIRST = 4  # passes before the first look
TRIALS = (2, 4)  # passes of each road that choose one: where the blocks are at least 30, and where they are fewer
LATEST = 32  # passes at the first look, at most
LEAST = 4  # degrees of freedom, where those of the trial passes have set the first look
NORMAL = 1.96**2  # half-widths of 95 %, in standard errors, squared
ALIKE = 16  # passes from which equal terms are proof that they never differ


@dataclass(frozen=True)
class _Parts:
    """The parts of tr H: `known` by layer (L,), and what each pass adds to it.

    `rest` are the tensors that fresh probes sample, of H - G with `residual`, of H without. `probed` are those over
    which output probes sample tr G. `trial` has the terms of the passes that chose between H and H - G, None without
    any. `sums` has the exact traces of the tensors in which outputs are affine.
    """

    known: np.ndarray
    rest: tuple[str, ...]
    residual: bool
    probed: tuple[str, ...]
    trial: np.ndarray | None
    sums: dict[str, float]

    @property
    def trials(self) -> int:
        """Return the number of products that chose between H and H - G."""
        return 0 if self.trial is None else 2 * len(self.trial)

    def terms(self, evaluation: Evaluation, passes: int) -> np.ndarray:
        """Return independent terms of each pass, (passes, samples and blocks, L)."""
        parts = []
        if self.rest:
            parts.append(evaluation.terms(passes, FreshTerms(self.rest, self.residual), double=True))
        if self.probed:
            parts.append(np.stack([_output_terms(evaluation, self.probed, index) for index in range(passes)]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def trace_by_passes(
    evaluation: Evaluation, strategy: Strategy, rest: tuple[str, ...], patient: bool = True
) -> KnownTrace:
    """Return tr H: over the tensors `rest` from fresh probes, over all others from an exact sum of tr G.

    Over `rest` it is tr H sampled, or tr G exact and tr (H - G) sampled, whichever varies less in trial passes that the
    estimate does not use. Where the outputs are too many for exact sums, output probes sample tr G. The first look is
    at the number of passes that the trial asks for, each later one at the number that is needed by then (Stein 1945),
    up to half of the budget's probes with the trial in it. Unless `patient`, sampling ends where no end is promised.
    """
    parts = _parts(evaluation, strategy, rest)
    limit, noise = _most(evaluation, strategy, rest) - parts.trials, _noise(evaluation, parts)
    passes = _first(parts, strategy.rtol, limit, patient)
    while True:
        terms = parts.terms(evaluation, passes)
        method = _method(evaluation, parts, passes)
        whole = _estimate(parts, terms.sum(2), method).affine(1.0, float(parts.known.sum())).widened(noise.trace)
        tolerance = Tolerance(strategy.rtol, SHARE * _size(parts, terms))
        whole = tolerance.settle(whole)
        needed = passes * tolerance.terms_needed(whole) / max(whole.num_samples, 1)
        hopeless = not patient and math.isfinite(whole.halfwidth) and needed > limit
        if whole.status is not Status.BUDGET or passes >= limit or hopeless or tolerance.beyond(whole, noise.trace):
            break
        passes = _following(passes, needed, limit)
    spent = (passes if rest else 0) + parts.trials + noise.num_matvecs
    layers, sampled = {}, {layer_of(name) for name in parts.rest + parts.probed}
    for l, name in enumerate(evaluation.problem.space.layers):
        value = float(parts.known[l])
        if name in sampled:
            found = _estimate(parts, terms[:, :, l], method).affine(1.0, value).widened(noise.trace).charged(spent)
        else:
            found = exact_sum(evaluation, value)
        layers[name] = found
    return KnownTrace(whole.charged(spent), layers, single_tensors(evaluation, parts.sums))


def _parts(evaluation: Evaluation, strategy: Strategy, rest: tuple[str, ...]) -> _Parts:
    """Return the parts of tr H; takes the exact sums and the trials."""
    problem, names = evaluation.problem, tuple(evaluation.problem.space.shapes)
    affine = tuple(name for name in names if name not in rest)
    decay = problem.weight_decay * np.array([float(problem.space.shapes[name].numel()) for name in rest])
    if not strategy.trace_is_exact(problem):
        return _Parts(by_layer(evaluation, decay, rest), rest, False, affine, None, {})
    residual, trial = False, None
    if _most(evaluation, strategy, rest) >= 2 * TRIALS[1] + FIRST:
        residual, trial = _chosen(evaluation, rest)
    summed = names if residual else affine
    traces = tensor_sums(evaluation, summed)
    known = by_layer(evaluation, traces, summed)
    if not residual:
        known += by_layer(evaluation, decay, rest)
    sums = {name: float(t) for name, t in zip(summed, traces, strict=True) if name in affine}
    return _Parts(known, rest, residual, (), trial, sums)


def _most(evaluation: Evaluation, strategy: Strategy, rest: tuple[str, ...]) -> int:
    """Return the most passes: those of fresh probes are products, those of output probes alone are not."""
    return strategy.trace_products(evaluation.problem) if rest else strategy.max_matvecs // 2


@remembered
def _chosen(evaluation: Evaluation, rest: tuple[str, ...]) -> tuple[bool, np.ndarray]:
    """Return True where fresh probes of H - G vary less than those of H, and the terms that told; remembered.

    The passes are not those of the estimate: a road that is chosen by its own spread has a biased mean.
    """
    passes = TRIALS[0] if num_blocks(evaluation.problem.num_data) >= MIN_FREEDOM else TRIALS[1]
    of_H, of_R = (
        evaluation.terms(passes, FreshTerms(rest, residual, TRIAL), double=True, cache={}) for residual in (False, True)
    )
    spreads = [float(terms.sum(2).var(axis=0, ddof=1).sum()) for terms in (of_H, of_R)]
    return spreads[1] < spreads[0], of_R if spreads[1] < spreads[0] else of_H


def _first(parts: _Parts, rtol: float, limit: int, patient: bool) -> int:
    """Return the passes at the first look: those that the trial expects to suffice, and to have 30 degrees of freedom.

    A look that depends on the passes themselves would come where they happen to vary little. At most 32, as later looks
    are less lucky; at 4, unless `patient`, where more than `limit` are expected.
    """
    if parts.trial is None:
        return min(FIRST, limit)
    needed = _promised(parts, rtol)
    if not patient and needed > limit:
        return min(FIRST, limit)
    q, variances = len(parts.trial), parts.trial.sum(2).var(axis=0, ddof=1)
    spread = float(variances.sum())
    blocks = (q + 1) / (q - 1) * spread**2 / (float((variances**2).sum()) or 1.0)  # of equal spread
    least = 1 + MIN_FREEDOM / blocks if blocks else math.inf
    return min(_rounded(min(max(needed, least), LATEST)), limit)


def _promised(parts: _Parts, rtol: float) -> float:
    """Return the passes that the trial expects to suffice."""
    assert parts.trial is not None
    terms = parts.trial.sum(2)
    value = float(parts.known.sum() + terms.mean(axis=0).sum())
    asked = Tolerance(rtol, SHARE * _size(parts, parts.trial)).at(value)
    return MARGIN * NORMAL * float(terms.var(axis=0, ddof=1).sum()) / asked**2 if asked else math.inf


def is_hopeless(evaluation: Evaluation, strategy: Strategy, rest: tuple[str, ...]) -> bool:
    """Return True where trial passes promise no end within the budget; False where there is none to tell."""
    parts = _parts(evaluation, strategy, rest)
    if parts.trial is None:
        return False
    return _promised(parts, strategy.rtol) > _most(evaluation, strategy, rest) - parts.trials


def _output_terms(evaluation: Evaluation, names: tuple[str, ...], index: int) -> np.ndarray:
    """Return the terms of output probes by sample and layer, (N, L)."""
    return by_layer(evaluation, output_probe_terms(evaluation.double, names, evaluation.seed, index), names)


def _noise(evaluation: Evaluation, parts: _Parts) -> Perturbation:
    """Return bounds on what rounding adds: that of products with H where they are sampled, else that of the sums."""
    return rounding_in_double(evaluation) if parts.rest and not parts.residual else rounding_of_sums(evaluation)


def _estimate(parts: _Parts, terms: np.ndarray, method: str) -> Estimate:
    """Return the mean over passes of the sum of terms (passes, units), with its interval.

    Terms of few blocks are skewed, as squares are: the interval is widened for that.

    Terms that are equal in 16 passes have the interval of one number: a form z'Az that is not constant differs from
    any given number with chance 1/4 at least, as it is a polynomial of degree two in signs. (Schwartz 1980)
    """
    if len(terms) >= ALIKE and bool((terms == terms[0]).all()):
        value = float(terms[0].sum())
        return Estimate(value, 0.0, value, value, 0.95, terms.size, 0, method, Status.BUDGET)
    if parts.trial is None:
        return probed_estimate(terms, method=method)
    return probed_estimate(terms, method=method, least=LEAST, skewness=_skewness(terms))


def _skewness(terms: np.ndarray) -> float:
    """Return the third central moment of the mean over passes of the sum of terms, over its standard error cubed.

    Example:
        >>> _skewness(np.array([[0.0], [0.0], [0.0], [1.0]]))
        1.0
    """
    q, off = len(terms), terms - terms.mean(axis=0)
    spread = float((off**2).sum()) / (q - 1) / q
    third = float((off**3).sum()) / ((q - 1) * (q - 2)) / q if q > 2 else 0.0
    return third / spread**1.5 if spread else 0.0


def _size(parts: _Parts, terms: np.ndarray) -> float:
    """Return the size of the numbers that cancel in tr H: the sum of |tr| over layers, or over G and H - G if more."""
    means = terms.mean(axis=0).sum(axis=0)
    layers = float(np.abs(parts.known + means).sum())
    return max(layers, abs(float(parts.known.sum())) + abs(float(means.sum()))) if parts.residual else layers


def _method(evaluation: Evaluation, parts: _Parts, passes: int) -> str:
    every, few = len(evaluation.problem.space.shapes), len(parts.rest)
    if not few:
        return f"{passes} passes with output probes"
    if parts.residual:
        return f"tr G exact, fresh probes of H - G, {passes} passes"
    over = f" over {few} of {every} tensors" if few < every else ""
    both = "output probes, " if parts.probed else ""
    return f"{both}fresh probes{over}, {passes} passes"


def _following(passes: int, needed: float, limit: int) -> int:
    """Return the passes at the next look: a tenth more than are needed by then, at most four times as many.

    `needed` is infinite where too few passes leave the interval open: then they double.

    Example:
        >>> _following(4, math.inf, 500), _following(4, 12.0, 500), _following(16, 43.0, 500), _following(16, 43.0, 40)
        (8, 16, 48, 40)
    """
    wanted = min(MARGIN * needed, MOST * passes) if math.isfinite(needed) else 2 * passes
    return min(_rounded(max(wanted, passes + 1)), limit)


def _rounded(passes: float) -> int:
    """Return the least of 4, 8, 16, 32, 48 and so on, where blocks of probes end, that is no less than `passes`."""
    small = next((count for count in (FIRST, 2 * FIRST) if count >= passes), None)
    return small or math.ceil(passes / BLOCK) * BLOCK
