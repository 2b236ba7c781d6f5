"""The Gauss-Newton side of the Hessian: what the loss bends, without what the model bends."""

from dataclasses import dataclass, replace
from typing import ClassVar

from scalecurv.curvature.euler_bounds import euler_bounds
from scalecurv.curvature.gauss_newton import GaussNewtonOperator
from scalecurv.estimate import Estimate, Status
from scalecurv.linalg.deflated import DeflatedTerms
from scalecurv.linalg.extremes import ends_of, first_look, started
from scalecurv.linalg.hutchinson import trace_estimate
from scalecurv.linalg.lanczos import Lanczos
from scalecurv.linalg.ritz import RitzSpace
from scalecurv.linalg.sequential import Tolerance, estimate_until
from scalecurv.measures.dense import dense_gauss_newton
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.exact_rank import homogeneous_mlp
from scalecurv.measures.known_trace import known_trace
from scalecurv.measures.measure import Findings
from scalecurv.measures.noise import Rounding, rounding_in_double
from scalecurv.measures.plan import Plan
from scalecurv.measures.planned import PlannedMeasure
from scalecurv.measures.residual_share import residual_share

STREAM = "gauss-newton start"
SLACK = 1e-9  # of the bound: what rounding may do to it


@dataclass(frozen=True)
class GaussNewton(PlannedMeasure):
    """trace_ggn and lambda_max_ggn of G = J'MJ, euler_bound below the latter, residual_share |H - G|_F / |H|_F.

    All in float64, as H - G is a difference; products are counted apart from those of the measures before it, as many
    as `max_matvecs` again at most. lambda_max_ggn is certified as lambda_max is, and `inconsistent` where euler_bound,
    which holds for MLPs of homogeneous activations, lies above its interval. Where H is written out so is G.
    """

    name: ClassVar[str] = "gauss_newton"
    version: ClassVar[int] = 2
    quantities: ClassVar[tuple[str, ...]] = ("trace_ggn", "lambda_max_ggn", "euler_bound", "residual_share")

    def ask(self, evaluation: Evaluation) -> Findings:
        trace, largest = _dense(evaluation, self.plan) or _sampled(evaluation, self.plan)
        below = _euler_bound(evaluation)
        if largest.upper < below.value * (1 - SLACK):
            method = f"{largest.method}; euler_bound {below.value:.6g} lies above it"
            largest = replace(largest, status=Status.INCONSISTENT, method=method)
        return Findings(
            {
                "trace_ggn": trace,
                "lambda_max_ggn": largest,
                "euler_bound": below,
                "residual_share": residual_share(evaluation, self.plan),
            }
        )


def _dense(evaluation: Evaluation, plan: Plan) -> tuple[Estimate, Estimate] | None:
    """tr G and its largest eigenvalue from G written out, where H may be; the trace from structure as ever."""
    if not plan.dense_is_taken(evaluation.problem):
        return None
    G, known = dense_gauss_newton(evaluation), known_trace(evaluation, plan)
    return G.trace(plan.rtol) if known is None else known.whole, G.ends(plan.rtol).largest


def _sampled(evaluation: Evaluation, plan: Plan) -> tuple[Estimate, Estimate]:
    """The same from a Lanczos run, and from probes outside its space."""
    run, noise = _run(evaluation, plan), _noise(evaluation)
    largest = ends_of(run, plan.rtol, noise.norm).charged(noise.num_matvecs).largest
    return _trace(evaluation, plan, run), largest


def _run(evaluation: Evaluation, plan: Plan) -> Lanczos:
    """The first steps of a Lanczos run on G that know its largest eigenvalue, or as many as there may be."""
    problem = evaluation.double
    capacity = plan.budget.vectors(plan.memory, problem.num_params * problem.dtype.itemsize)
    process = started(evaluation.gauss_newton, evaluation.seed, min(capacity, plan.budget.ggn_steps), STREAM)
    known = Status.CERTIFIED
    return first_look(process, lambda run: ends_of(run, plan.rtol).largest.status is known, process.capacity)


def _trace(evaluation: Evaluation, plan: Plan, run: Lanczos) -> Estimate:
    """tr H where structure makes the two equal, else Hutchinson's estimator outside the space of the run."""
    known = known_trace(evaluation, plan)
    if known is not None:
        return known.whole
    terms = DeflatedTerms(RitzSpace.of(run))
    name = ("gauss-newton terms", len(run.alphas))
    found = estimate_until(
        lambda m: evaluation.terms(m, terms, name, GaussNewtonOperator, double=True) + terms.known,
        {"trace": lambda rows: trace_estimate(rows, "deflated hutchinson")},
        {"trace": Tolerance(plan.rtol)},
        plan.budget.ggn_probes,
    )["trace"]
    noise = _noise(evaluation)
    return replace(found, num_matvecs=found.num_matvecs + run.num_matvecs + noise.num_matvecs).widened(noise.trace)


def _noise(evaluation: Evaluation) -> Rounding:
    """What rounding does to G: nothing to speak of by factors that do not cancel, and who knows by autograd alone."""
    return rounding_in_double(evaluation) if evaluation.problem.loss.foreign else Rounding()


def _euler_bound(evaluation: Evaluation) -> Estimate:
    mlp = homogeneous_mlp(evaluation.double)
    if mlp is None or evaluation.double.loss.factor is None:
        return Estimate.not_applicable("not an MLP of homogeneous activations, or a loss of no known factor")
    bounds = euler_bounds(evaluation.double, mlp)
    return Estimate.exact(float(bounds.max()), f"one of {len(bounds)} directions in which the outputs grow")
