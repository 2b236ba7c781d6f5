"""The route of each quantity and the most that it costs, in gradients, before anything is computed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import torch

from scalecurv.measures.cost import POINT, bytes_of
from scalecurv.measures.curvature.curvature import Curvature
from scalecurv.measures.extremes import Extremes
from scalecurv.measures.gradient import Gradient
from scalecurv.measures.measure import Measure
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.noise import VECTORS
from scalecurv.measures.own_findings import cost_at
from scalecurv.measures.rank.exact import elimination_plan
from scalecurv.measures.rank.profile import profile_plan
from scalecurv.measures.rank.rank import Rank
from scalecurv.measures.rescaling import Rescaling
from scalecurv.measures.route import Strategy
from scalecurv.measures.sampled_ends import PRODUCTS
from scalecurv.mlp.block_norms import block_norms_cost
from scalecurv.mlp.layers import homogeneous_mlp, structure_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP

KEPT, ANEW = 2.0, 3.5  # gradients of a product at most: where the pass is kept from one to the next, and where not
DOUBLE = 2.0  # times float32, the same in float64
OVERHEAD = 1.5  # of what is not a matrix product in a pass without gradients of weights


@dataclass(frozen=True)
class Planned:
    """Quantities that are computed together: their route, the reason for it, and the most that it costs beyond others.

    What several quantities share is counted at the first of them. `products` are those with H, each as one column;
    `gradients` is the time in gradients of the same loss on the same data, None where it does not grow with products.
    `bytes` are those of bases and matrices.
    """

    quantities: tuple[str, ...]
    route: str
    why: str
    products: int = 0
    gradients: float | None = 0.0
    bytes: int = 0


@dataclass
class _Costs:
    """The costs at one problem, each shared one once."""

    problem: Problem
    taken: set[str] = field(default_factory=set)

    @property
    def widening(self) -> float:
        """Return the time of float64, relative to that of the problem's dtype."""
        return 1.0 if self.problem.dtype == torch.float64 else DOUBLE

    @property
    def product(self) -> float:
        """Return the gradients of one product."""
        kept = self.problem.listed is not None or self.problem.batch_size >= self.problem.num_local
        return KEPT if kept else ANEW

    def products(self, **counts: int) -> tuple[int, float]:
        """Return the products of these parts that are not taken yet, by name, and their gradients.

        Parts whose names end in `double` are in float64.
        """
        fresh = {name: count for name, count in counts.items() if name not in self.taken}
        self.taken |= fresh.keys()
        weights = (n * (self.widening if name.endswith("double") else 1.0) for name, n in fresh.items())
        return sum(fresh.values()), self.product * sum(weights)

    def passes(self, mlp: MLP, count: int) -> float:
        """Return the gradients of one pass forward and `count` passes back without gradients of weights, in float64.

        A gradient is three products of a matrix with the activations a layer, and two for the first layer.
        """
        sizes = [a * b for a, b in zip(mlp.widths, mlp.widths[1:], strict=False)]
        whole, first = sum(sizes), sizes[0]
        return OVERHEAD * self.widening * (whole + count * (whole - first)) / (3 * whole - first)

    def sums(self, count: int) -> float:
        """Return the gradients of one pass forward and `count` passes back through any model, in float64.

        A pass back without gradients of weights and the squares of what it brings to a layer take what a gradient's
        pass back does, which is twice a pass forward.
        """
        return OVERHEAD * self.widening * (1 + 2 * count) / 3

    def pairs(self, mlp: MLP) -> float:
        """Return the gradients of tr H^2 as a sum over pairs of samples, in float64."""
        sizes = [a * b for a, b in zip(mlp.widths, mlp.widths[1:], strict=False)]
        return (
            self.widening
            * block_norms_cost(self.problem, mlp)[0]
            / (self.problem.num_data * (3 * sum(sizes) - sizes[0]))
        )


def plan_of(measures: Iterable[Measure], problem: Problem) -> tuple[Planned, ...]:
    """Return the rows of the plan of `measures` at a problem like this one; takes no product of all data.

    The routes are those that the measures take: rules on sizes. Costs are upper bounds, as sampling may end early.
    """
    costs: dict[str | None, _Costs] = {}
    rows: list[Planned] = []
    for measure in measures:
        at = costs.setdefault(measure.params, _Costs(problem.restricted(measure.params)))
        rows += _rows(measure, at)
    return tuple(rows)


def _rows(measure: Measure, at: _Costs) -> Iterator[Planned]:
    match measure:
        case Gradient():
            yield from _gradient(at)
        case Extremes():
            yield _ends(("lambda_max", "lambda_min"), at, measure.strategy, {})
        case Moments():
            yield _trace(at, measure.strategy)
            yield _square(("trace_h2",), at, measure.strategy)
        case Curvature():
            if "trace" not in at.taken:
                yield _trace(at, measure.strategy)
            row, again = _square(measure.quantities[:2], at, measure.strategy), "slope_double" in at.taken
            spent = at.products(slope_double=1)  # g too, a gradient in float64
            yield replace(
                row,
                products=row.products + spent[0],
                gradients=(row.gradients or 0.0) + spent[1] + (0.0 if again else at.widening),
            )
            fit = {"fit_double": 2 * VECTORS} if at.problem.loss.squared else {}
            bounds = tuple(name for name in measure.quantities[2:] if not name.startswith("chain"))
            yield _ends(bounds, at, measure.strategy, fit)
        case Rescaling():
            yield _rescaled(measure, at)
        case Rank() if homogeneous_mlp(at.problem) is not None:
            yield _rank(measure, at.problem)
        case _:
            cost = cost_at(measure, at.problem)
            count = cost.own + max(cost.shared - POINT, 0) + cost.written_out
            price = at.product * at.widening * count if count else None
            yield Planned((measure.name,), "its own", "see the page of quantities", count, price, cost.bytes)


def _gradient(at: _Costs) -> Iterator[Planned]:
    yield Planned(("loss", "grad_norm", "beta"), "one pass", "forward and back", 0, 1.0)
    yield Planned(("ghg", "gh2g"), "Hessian product", "along the gradient", *at.products(along=1))
    if at.problem.dtype != torch.float64:
        spent = at.products(spot=VECTORS, spot_double=VECTORS)
        yield Planned(("noise_floor",), "Hessian products", f"{VECTORS} in each of two dtypes", *spent)
    if structure_of(at.problem) is not None:
        yield Planned(("kinks",), "one pass", "forward", 0, 0.5)


def _trace(at: _Costs, strategy: Strategy) -> Planned:
    mlp, D = strategy.structure(at.problem), at.problem.num_outputs
    at.taken.add("trace")
    if mlp is not None and strategy.trace_is_exact(at.problem):
        at.taken.add("squares")
        return Planned(("trace",), "sum over layers", f"{D} backward passes, exact", 0, at.passes(mlp, D))
    if mlp is not None and not strategy.dense_is_taken(at.problem):
        most = max(2, strategy.max_matvecs // 2)
        return Planned(("trace",), "output probes", f"{D} outputs are many", 0, most * at.passes(mlp, 1))
    return _by_tensors(at, strategy) if strategy.trace_is_known(at.problem) else _sampled(("trace",), at, strategy)


def _by_tensors(at: _Costs, strategy: Strategy) -> Planned:
    """Return the row of tr H of a model that is no MLP of known structure."""
    rest, D, every = strategy.fresh_tensors(at.problem), at.problem.num_outputs, len(at.problem.space.shapes)
    summed = strategy.trace_is_exact(at.problem)
    if not rest and summed:
        return Planned(("trace",), "sum over tensors", f"{D} backward passes, exact", 0, at.sums(D))
    if not rest:
        most = max(2, strategy.max_matvecs // 2)
        return Planned(("trace",), "output probes", f"{D} outputs are many", 0, most * at.sums(1))
    products, price = at.products(fresh_double=strategy.trace_products(at.problem))
    beside = at.sums(D) if summed else products * at.sums(1)
    why = f"outputs are not known to be affine in {len(rest)} of {every} tensors"
    return Planned(("trace",), "fresh probes", why, products, price + beside)


def _square(names: tuple[str, ...], at: _Costs, strategy: Strategy) -> Planned:
    mlp = strategy.structure(at.problem)
    if mlp is None or not strategy.square_is_exact(at.problem, mlp):
        return _sampled(names, at, strategy)
    size, price = int(block_norms_cost(at.problem, mlp)[1]), 0.0 if "pairs" in at.taken else at.pairs(mlp)
    at.taken.add("pairs")
    return Planned(names, "pairs of samples", "cheaper than a quarter of the products", 0, price, size)


def _sampled(names: tuple[str, ...], at: _Costs, strategy: Strategy) -> Planned:
    counts = {"probes": strategy.square_products(at.problem), "check": strategy.budget.check}
    row, count = _by_products(names, at, strategy, "deflated probes", counts), strategy.sample_of(at.problem)
    if count is None:
        return row
    return replace(row, route="pairs of samples", why=f"{count:,} samples; deflated probes where H is far from G")


def _ends(names: tuple[str, ...], at: _Costs, strategy: Strategy, more: dict[str, int]) -> Planned:
    count = strategy.sample_of(at.problem)
    if count is None:
        return _by_products(names, at, strategy, "Lanczos run", more)
    again = "from_samples" in at.taken
    products, price = at.products(from_samples=PRODUCTS, **more)
    small = 0 if again else strategy.budget.lanczos + 2 * PRODUCTS  # on the sample: its run, and the forms
    price += at.product * small * count / at.problem.num_data
    why = f"Lanczos on {count:,} of {at.problem.num_data:,} samples first"
    return Planned(names, "from samples", why, products, price, bytes_of(at.problem, strategy))


def _by_products(names: tuple[str, ...], at: _Costs, strategy: Strategy, route: str, more: dict[str, int]) -> Planned:
    P, size = at.problem.num_params, bytes_of(at.problem, strategy)
    if strategy.dense_is_taken(at.problem):
        why = f"{P:,} parameters, at most max_matvecs"
        return Planned(names, "H written out", why, *at.products(all_double=P), size)
    double = at.problem.dtype == torch.float64
    spot = {"pilots": VECTORS} if double else {"spot": VECTORS, "spot_double": VECTORS}
    spent = at.products(**spot, run=strategy.budget.lanczos, **more)
    why = f"{P:,} parameters, more than max_matvecs" if strategy.max_matvecs < P else "by the option route, or memory"
    return Planned(names, route, why, *spent, size)


def _rescaled(measure: Rescaling, at: _Costs) -> Planned:
    mlp, names, D = homogeneous_mlp(at.problem), measure.quantities, at.problem.num_outputs
    if mlp is None or measure.max_matvecs // 2 < D:
        return Planned(names, "none", "not an MLP of homogeneous activations, or too many outputs", 0, 0.0)
    own = 2 * at.widening  # the gradient, the forward pass and the squares of the inputs
    back = 0.0 if "squares" in at.taken else at.passes(mlp, D)
    return Planned(names, "sum over layers", f"{D} backward passes, shared with the trace", 0, own + back)


def _rank(measure: Rank, problem: Problem) -> Planned:
    """Return the work of one elimination and of the profile; bounds that do not meet take more eliminations."""
    mlp = homogeneous_mlp(problem)
    assert mlp is not None
    asked = (mlp, problem.num_outputs, measure.memory, measure.drawn)
    count, _, operations = elimination_plan(problem, *asked)
    profile = profile_plan(problem, *asked)
    work = operations + profile.operations
    gradients = work / (6.0 * problem.num_data * problem.num_params)
    side = problem.num_params if profile.columns else profile.count * problem.num_outputs  # of J'J or J J'
    why = f"{count:,} of {problem.num_data:,} samples, the work of {gradients:,.0f} gradients or more"
    return Planned((measure.name,), "elimination, profile", why, 0, None, 8 * side**2)
