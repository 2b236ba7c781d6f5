"""Advice on each family of quantities, beside the meanings that the store holds."""

from dataclasses import dataclass

from scalecurv.quantities import CHAIN, Quantity
from scalecurv.statistics.estimate import Status

# names -> advice; the meanings and units are those of scalecurv.quantities, and are not repeated here
_ADVICE: dict[tuple[str, ...], str] = {
    ("loss",): "The loss over the data of the task, in the reduction that the task names; curvature scales with it.",
    ("grad_norm", "beta"): "Where |g| is large, beta is small and makes K small: read beta before K.",
    ("noise_floor",): "Intervals of sampled numbers and eigenvalues include this rounding error.",
    ("kinks", "kink_margin"): "H is the Hessian between the kinks of ReLU; at a kink itself there is none.",
    ("trace",): "The sum of all eigenvalues of H. It depends on the parametrisation: compare runs by trace_rescaled.",
    ("trace_h2",): "The sum of the squares of all eigenvalues of H.",
    (
        "lambda_max",
        "lambda_min",
    ): "The interval is a two-sided certificate, not a sampling error. Gradient descent with "
    "step size eta is stable while eta lambda_max / 2 <= 1.",
    ("ghg", "gh2g"): "Curvature along the gradient; g'Hg / |g|^2 lies between lambda_min and lambda_max.",
    ("scalar_curvature", "curvature_lower", "curvature_upper"): "K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg). It "
    "does not measure flatness: K = 0 at any minimum where H has rank one, however sharp.",
    ("t2_minus_f",): "K without the influence of the gradient: K equals it where g = 0.",
    CHAIN: "The chain bounds K from both sides at an exact fit under mse; elsewhere it does not apply.",
    ("rank", "rank_generic", "rank_ceiling"): "The number of directions of the parameters that change the outputs on "
    "the data. For ReLU MLPs it is a whole number, computed without rounding.",
    ("rank_1e2", "rank_1e3", "rank_1e6"): "The directions that are visible at a finite precision.",
    ("account_dead", "account_rescaling", "account_data_limited", "account_unexplained"): "The account says where the "
    "other parameters go: P = rank + dead + rescaling + data-limited + unexplained.",
    ("trace_rescaled", "imbalance"): "No rescaling of hidden neurons changes trace_rescaled: use it to compare runs.",
    ("trace_ggn", "lambda_max_ggn", "residual_share"): "G is H without the second derivatives of the outputs; where "
    "residual_share is 0 both are equal.",
    ("effective_rank", "participation_ratio"): "Quotients of intervals; two ways to count the large eigenvalues.",
    ("principal_max", "principal_min", "sectional_max", "sectional_min"): "Curvatures of the graph of L; the intervals "
    "are certified.",
    ("sharpness_radius", "sharpness_sam", "sharpness_mean"): "Compare checkpoints at one radius, or one sigma, only.",
    ("sgd_threshold", "batch_sharpness"): "The theory is linear: away from an interpolating minimum read them as the "
    "curvature that the noise of batches adds to lambda_max.",
    ("relative_flatness", "relative_flatness_neuron", "adaptive_trace"): "Smaller is flatter; the last two are "
    "unchanged by every rescaling of hidden neurons.",
}
_BY_NAME = {name: text for names, text in _ADVICE.items() for name in names}


@dataclass(frozen=True)
class Word:
    """A quantity with its meaning, unit and measure, and how to read it."""

    quantity: Quantity
    advice: str


def words_of(quantities: tuple[Quantity, ...], present: set[str]) -> list[Word]:
    """Return the quantities whose names are `present`, in the order of `quantities`, each with its advice."""
    return [Word(one, _BY_NAME.get(one.name, "")) for one in quantities if one.name in present]


def statuses() -> list[tuple[str, str]]:
    """Return each status with the sentence that says what to do about it."""
    return [(status.value, status.advice) for status in Status]
