"""The names of the stored numbers with their meaning, and the defaults of the options that they are computed by."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Quantity:
    """A number that a store holds: its name, the words that define it, its unit, and the name of its measure.

    `integer` is True for whole numbers. A `derived` quantity is computed from others. It has no tolerance of its own:
    its parts have theirs. `unit` is a product of powers of `loss` and `theta` (the parameters), such as "loss/theta^2",
    or "1". `measure` need not be given for a measure of one's own, which names its quantities itself.

    Example:
        >>> Quantity("trace_share", "largest share of a layer in tr H").unit
        '1'
    """

    name: str
    meaning: str
    integer: bool = False
    derived: bool = False
    unit: str = "1"
    measure: str = ""


# defaults, for dataclasses of options, functions and the command line alike: no torch is loaded to know them
RTOL = 0.01  # half-width of 95 % intervals, relative to the value
MAX_MATVECS = 1000  # Hessian products at one checkpoint
MEMORY = 2 << 30  # bytes that temporaries may take
SEED = 0
AUTO: Final = "auto"  # engine, device and plan of a sweep are chosen by what is there, and by cost
DEVICE = "cpu"  # where one problem is computed
GPUS_PER_WORKER = 1.0

BUILT_IN: tuple[str, ...] = (  # the measures that come with this package
    *("gradient", "extremes", "moments", "rescaling", "curvature", "rank"),
    *("spectrum", "principal", "gauss_newton"),
    *("sharpness", "sgd", "flatness"),
)
DEFAULT: tuple[str, ...] = BUILT_IN[:6]  # those that are computed where none is named
PLUG_INS = "scalecurv.measures"  # the group of entry points by which installed packages bring measures
# columns of the tables that no quantity may be called as, and the ends of the names of those beside each quantity's own
COLUMNS: tuple[str, ...] = (
    *("checkpoint", "path", "run", "step", "epoch", "num_params", "fingerprint", "task_id", "dtype", "seed", "status"),
    *("chain_status", "error", "total_matvecs", "quantity", "component", "value", "stderr", "lower", "upper", "method"),
)
BESIDE: tuple[str, ...] = ("_stderr", "_lower", "_upper")

CHAIN: tuple[str, ...] = tuple(f"chain_{i}" for i in range(1, 7))  # links of the chain of bounds, left to right
_H, _H2 = "loss/theta^2", "loss^2/theta^4"  # the units of the Hessian and of its square

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("loss", "L, the loss over the data", unit="loss", measure="gradient"),
    Quantity("grad_norm", "|g|, the norm of its gradient", unit="loss/theta", measure="gradient"),
    Quantity("noise_floor", "relative rounding error of a Hessian product, against float64", measure="gradient"),
    Quantity(
        "kinks",
        "(sample, neuron) pairs within rounding of a kink of their activation",
        integer=True,
        measure="gradient",
    ),
    Quantity("trace", "T = tr H, the trace of the Hessian", unit=_H, measure="moments"),
    Quantity("trace_h2", "F = tr H^2, its squared Frobenius norm", unit=_H2, measure="moments"),
    Quantity("lambda_max", "largest (algebraic) eigenvalue of H", unit=_H, measure="extremes"),
    Quantity("lambda_min", "smallest (algebraic) eigenvalue of H", unit=_H, measure="extremes"),
    Quantity("ghg", "g'Hg, curvature along the gradient", unit="loss^3/theta^4", measure="gradient"),
    Quantity("gh2g", "g'H^2 g = |Hg|^2", unit="loss^4/theta^6", measure="gradient"),
    Quantity(
        "scalar_curvature", "K of the graph of L; read it with beta and t2_minus_f", unit=_H2, measure="curvature"
    ),
    Quantity("beta", "1 / (1 + |g|^2), what the slope leaves of the curvature", measure="gradient"),
    Quantity("t2_minus_f", "T^2 - F, which K equals where g = 0", unit=_H2, measure="curvature"),
    Quantity("rank", "rank of the Jacobian of all outputs over the batch", integer=True, measure="rank"),
    Quantity(
        "rank_generic", "rank at almost all parameters with the same activation pattern", integer=True, measure="rank"
    ),
    Quantity(
        "rank_ceiling", "P - hidden neurons, the architecture's ceiling on the rank", integer=True, measure="rank"
    ),
    Quantity("trace_rescaled", "smallest tr H over all rescalings of hidden neurons", unit=_H, measure="rescaling"),
    Quantity("imbalance", "sum | |in|^2 - |out|^2 | / sum (|in|^2 + |out|^2) over hidden neurons", measure="rescaling"),
    Quantity("trace_ggn", "trace of the Gauss-Newton matrix G", unit=_H, measure="gauss_newton"),
    Quantity("lambda_max_ggn", "largest eigenvalue of G", unit=_H, measure="gauss_newton"),
    Quantity("euler_bound", "lower bound on lambda_max_ggn from how the outputs grow", unit=_H, measure="gauss_newton"),
    Quantity("residual_share", "|H - G|_F / |H|_F: 0 where the data is fitted exactly", measure="gauss_newton"),
    Quantity("curvature_lower", "lower bracket of K", derived=True, unit=_H2, measure="curvature"),
    Quantity("curvature_upper", "upper bracket of K", derived=True, unit=_H2, measure="curvature"),
    *(
        Quantity(name, f"link {i} of the chain of bounds, left to right", derived=True, unit=_H2, measure="curvature")
        for i, name in enumerate(CHAIN, 1)
    ),
    Quantity("rank_1e2", "singular values above 1e-2 of the largest", integer=True, measure="rank"),
    Quantity("rank_1e3", "singular values above 1e-3 of the largest", integer=True, measure="rank"),
    Quantity("rank_1e6", "singular values above 1e-6 of the largest", integer=True, measure="rank"),
    Quantity("stable_rank", "|J|_F^2 / sigma_1^2 of the Jacobian", measure="rank"),
    Quantity("jacobian_participation_ratio", "(sum sigma^2)^2 / sum sigma^4 of the Jacobian", measure="rank"),
    Quantity(
        "kink_margin",
        "least |z| in units of what rounding acts on: above 2.2e-16 the pattern is certain",
        measure="rank",
    ),
    Quantity("functional_dimension_lower", "lower bound on the functional dimension", integer=True, measure="rank"),
    Quantity("account_dead", "parameters that touch only dead units or zero inputs", integer=True, measure="rank"),
    Quantity(
        "account_rescaling", "directions that rescale a live hidden neuron", integer=True, derived=True, measure="rank"
    ),
    Quantity(
        "account_data_limited",
        "directions that the samples are too few or too alike to show",
        integer=True,
        derived=True,
        measure="rank",
    ),
    Quantity("account_unexplained", "structural bound on the rank - rank", integer=True, derived=True, measure="rank"),
    Quantity("principal_max", "largest principal curvature of the graph of L", unit=_H, measure="principal"),
    Quantity("principal_max_2", "second largest principal curvature", unit=_H, measure="principal"),
    Quantity("principal_min_2", "second smallest principal curvature", unit=_H, measure="principal"),
    Quantity("principal_min", "smallest principal curvature", unit=_H, measure="principal"),
    Quantity(
        "mean_curvature",
        "sum of the principal curvatures, the trace of the shape operator",
        unit=_H,
        measure="principal",
    ),
    Quantity("sectional_max", "largest sectional curvature over all planes", unit=_H2, measure="principal"),
    Quantity("sectional_min", "smallest sectional curvature over all planes", unit=_H2, measure="principal"),
    Quantity(
        "sectional_mean", "mean sectional curvature over planes at random", derived=True, unit=_H2, measure="principal"
    ),
    Quantity(
        "sectional_ritz",
        "sectional curvature of the plane of the two top Ritz vectors of H",
        derived=True,
        unit=_H2,
        measure="principal",
    ),
    Quantity("ricci_gradient", "Ricci curvature along the gradient", derived=True, unit=_H2, measure="principal"),
    Quantity(
        "scalar_curvature_convex",
        "K from the tangent space of the level set, as a check",
        derived=True,
        unit=_H2,
        measure="principal",
    ),
    Quantity("sharpness_radius", "rise of L within --radius of theta, from below", unit="loss", measure="sharpness"),
    Quantity("sharpness_sam", "rise of L by a step of length --radius along g", unit="loss", measure="sharpness"),
    Quantity("sharpness_mean", "T over steps of size --sigma, kinks included", unit=_H, measure="sharpness"),
    Quantity(
        "sgd_threshold",
        "2 / the largest step size at which SGD is stable, from below; for the first of --sgd-batches",
        unit=_H,
        measure="sgd",
    ),
    Quantity(
        "batch_sharpness",
        "sum g_b'H_b g_b / sum |g_b|^2 over mini-batches b; for the first of --sgd-batches",
        unit=_H,
        measure="sgd",
    ),
    Quantity("relative_flatness", "sum of |a|^2 |F'df/da|^2 over samples and layers", unit="loss", measure="flatness"),
    Quantity(
        "relative_flatness_neuron",
        "sum of a_q^2 |F'df/da_q|^2 over samples and neurons, unchanged by rescaling",
        unit="loss",
        measure="flatness",
    ),
    Quantity("adaptive_trace", "sum of theta_k^2 H_kk, unchanged by rescaling", unit="loss", measure="flatness"),
    Quantity("effective_rank", "T / lambda_max", derived=True, measure="curvature"),
    Quantity("participation_ratio", "T^2 / F", derived=True, measure="curvature"),
)

NAMES: tuple[str, ...] = tuple(q.name for q in QUANTITIES)
DERIVED: frozenset[str] = frozenset(q.name for q in QUANTITIES if q.derived)

_ENDS, _EIGENVALUES = "--measure extremes", "--measure spectrum"
ARRAYS: dict[str, str] = {  # the arrays that measures store, and the options of `scalecurv analyze` that store each
    "ritz_values": _ENDS,
    "ritz_residuals": _ENDS,
    "ritz_weights": _EIGENVALUES,
    "ritz_nodes": _EIGENVALUES,
    "ritz_starts": _EIGENVALUES,
    "singular_values": "--measure rank --singular-values",
    "singular_values_softmax": "--measure rank --singular-values --output prob",
    **dict.fromkeys(("rescaling_factors", "balancedness", "balancedness_drift"), "--measure rescaling"),
    **dict.fromkeys(
        ("principal_values", "principal_residuals", "principal_shares", "sectional_planes"), "--measure principal"
    ),
}
