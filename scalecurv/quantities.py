"""The names of the stored numbers with their meaning, and the defaults of the options that they are computed by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A number that a store holds: its name, the words that define it, whether it is a whole number, and its unit.

    A `derived` quantity is computed from others. It has no tolerance of its own: its parts have theirs.
    """

    name: str
    meaning: str
    integer: bool = False
    derived: bool = False
    unit: str = "1"


# defaults, for dataclasses of options, functions and the command line alike: no torch is loaded to know them
RTOL = 0.01  # half-width of 95 % intervals, relative to the value
MAX_MATVECS = 1000  # Hessian products at one checkpoint
MEMORY = 2 << 30  # bytes that temporaries may take
SEED = 0
AUTO = "auto"  # engine, device and plan of a sweep are chosen by what is there, and by cost
DEVICE = "cpu"  # where one problem is computed
GPUS_PER_WORKER = 1.0

CHAIN: tuple[str, ...] = tuple(f"chain_{i}" for i in range(1, 7))  # links of the chain of bounds, left to right

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("loss", "L, the loss over the data"),
    Quantity("grad_norm", "|g|, the norm of its gradient"),
    Quantity("noise_floor", "relative rounding error of a Hessian product, against float64"),
    Quantity("kinks", "(sample, neuron) pairs within rounding of a kink of their activation", integer=True),
    Quantity("trace", "T = tr H, the trace of the Hessian"),
    Quantity("trace_h2", "F = tr H^2, its squared Frobenius norm"),
    Quantity("lambda_max", "largest (algebraic) eigenvalue of H"),
    Quantity("lambda_min", "smallest (algebraic) eigenvalue of H"),
    Quantity("ghg", "g'Hg, curvature along the gradient"),
    Quantity("gh2g", "g'H^2 g = |Hg|^2"),
    Quantity("scalar_curvature", "K of the graph of L; read it with beta and t2_minus_f"),
    Quantity("beta", "1 / (1 + |g|^2), what the slope leaves of the curvature"),
    Quantity("t2_minus_f", "T^2 - F, which K equals where g = 0"),
    Quantity("rank", "rank of the Jacobian of all outputs over the batch", integer=True),
    Quantity("rank_generic", "rank at almost all parameters with the same activation pattern", integer=True),
    Quantity("rank_ceiling", "P - hidden neurons, the architecture's ceiling on the rank", integer=True),
    Quantity("trace_rescaled", "smallest tr H over all rescalings of hidden neurons"),
    Quantity("imbalance", "sum | |in|^2 - |out|^2 | / sum (|in|^2 + |out|^2) over hidden neurons"),
    Quantity("trace_ggn", "trace of the Gauss-Newton matrix G"),
    Quantity("lambda_max_ggn", "largest eigenvalue of G"),
    Quantity("euler_bound", "lower bound on lambda_max_ggn from how the outputs grow"),
    Quantity("residual_share", "|H - G|_F / |H|_F: 0 where the data is fitted exactly"),
    Quantity("curvature_lower", "lower bracket of K", derived=True),
    Quantity("curvature_upper", "upper bracket of K", derived=True),
    *(
        Quantity(name, f"link {i} of the chain of bounds, left to right", derived=True)
        for i, name in enumerate(CHAIN, 1)
    ),
    Quantity("rank_1e2", "singular values above 1e-2 of the largest", integer=True),
    Quantity("rank_1e3", "singular values above 1e-3 of the largest", integer=True),
    Quantity("rank_1e6", "singular values above 1e-6 of the largest", integer=True),
    Quantity("stable_rank", "|J|_F^2 / sigma_1^2 of the Jacobian"),
    Quantity("jacobian_participation_ratio", "(sum sigma^2)^2 / sum sigma^4 of the Jacobian"),
    Quantity("kink_margin", "least |z| in units of what rounding acts on: above 2.2e-16 the pattern is certain"),
    Quantity("functional_dimension_lower", "lower bound on the functional dimension", integer=True),
    Quantity("account_dead", "parameters that touch only dead units or zero inputs", integer=True),
    Quantity("account_rescaling", "directions that rescale a live hidden neuron", integer=True),
    Quantity("account_data_limited", "directions that the samples are too few or too alike to show", integer=True),
    Quantity("account_unexplained", "structural bound on the rank - rank", integer=True),
    Quantity("principal_max", "largest principal curvature of the graph of L"),
    Quantity("principal_max_2", "second largest principal curvature"),
    Quantity("principal_min_2", "second smallest principal curvature"),
    Quantity("principal_min", "smallest principal curvature"),
    Quantity("mean_curvature", "sum of the principal curvatures, the trace of the shape operator"),
    Quantity("sectional_max", "largest sectional curvature over all planes"),
    Quantity("sectional_min", "smallest sectional curvature over all planes"),
    Quantity("sectional_mean", "mean sectional curvature over planes at random", derived=True),
    Quantity("sectional_ritz", "sectional curvature of the plane of the two top Ritz vectors of H", derived=True),
    Quantity("ricci_gradient", "Ricci curvature along the gradient", derived=True),
    Quantity("scalar_curvature_convex", "K from the tangent space of the level set, as a check", derived=True),
    Quantity("effective_rank", "T / lambda_max", derived=True),
    Quantity("participation_ratio", "T^2 / F", derived=True),
)

NAMES: tuple[str, ...] = tuple(q.name for q in QUANTITIES)
DERIVED: frozenset[str] = frozenset(q.name for q in QUANTITIES if q.derived)
