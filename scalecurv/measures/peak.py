"""The most bytes that a process takes while a measure runs, from the vectors and matrices that are held at one time."""

from dataclasses import replace

from scalecurv.linalg.inner import ROWS
from scalecurv.measures.evaluation import VECTORS as OF_A_PROBE
from scalecurv.measures.evaluation import blocks_of
from scalecurv.measures.measure import Measure, RoutedMeasure
from scalecurv.measures.noise import VECTORS, pilots_fit
from scalecurv.mlp.block_norms import block_norms_cost
from scalecurv.mlp.closed_form import SHARE
from scalecurv.mlp.layers import structure_of
from scalecurv.problem.problem import Problem
from scalecurv.samples.arrays import num_bytes
from scalecurv.samples.rows import Held

MATRICES = 3  # of N D x N D numbers, while the singular values of J are counted
DOUBLE = 8  # bytes of a number in float64
LIBRARIES = 16 << 20  # what torch loads at the first product
SPACES = ("extremes", "moments", "curvature")  # measures of the defaults that hold a Lanczos basis
PROBES = {"moments": 32, "curvature": 16}  # those that they usually draw: a larger number comes in blocks of one size


def peak_of(problem: Problem, measure: Measure, steps: int | None = None) -> int:
    """Return the most bytes beside the model and the data, while this measure runs after those before it.

    `steps` is the length of the Lanczos run, 0 before it; by default it is the most that memory and budget allow. All
    that counts are vectors of P numbers, the passes that are kept, and matrices; what a run keeps for later measures is
    counted too.
    """
    P, own = problem.num_params, problem.dtype.itemsize
    held = _held(problem)
    cost = measure.cost(problem)
    if cost.written_out:
        return LIBRARIES + held + cost.bytes
    if steps is None:
        basis = cost.bytes // 2 if measure.name in SPACES else 0
    else:
        basis = (steps + 1) * own * P if steps else 0  # kept for the measures that come later
    return LIBRARIES + held + basis + max(_product(problem) + _spot_check(problem), _own(problem, measure, basis))


def _held(problem: Problem) -> int:
    """Return the bytes that stay between measures: theta, its float64, g and Hg, pilots, passes, the data's float64."""
    P, own = problem.num_params, problem.dtype.itemsize
    vectors = own * (3 + (2 * VECTORS if pilots_fit(problem, problem.memory) else 0)) + (DOUBLE if own < DOUBLE else 0)
    kinds = {own, DOUBLE}
    passes = sum(_kept(problem, size) for size in kinds)
    data = 0
    if isinstance(problem.rows, Held) and own < DOUBLE:
        data = num_bytes(problem.rows.x) * DOUBLE // own
    return vectors * P + passes + data


def _kept(problem: Problem, size: int) -> int:
    """Return the bytes of the passes that are kept in a dtype of `size` bytes: those of as many mini-batches as fit."""
    foot = problem.footprint
    batch = size * foot.kept * _batch_size(problem, size)
    fit = problem.memory // SHARE // batch * batch if batch else 0
    return min(fit, size * foot.kept * problem.num_local)


def _batch_size(problem: Problem, size: int) -> int:
    """Return the samples of a mini-batch in a dtype of `size` bytes."""
    foot = replace(problem.footprint, itemsize=size)
    return min(problem.batch_size, foot.batch_size(problem.memory, problem.num_local))


def _product(problem: Problem) -> int:
    """Return the bytes of a product in float64 for the samples of a mini-batch, and of its pass where none is kept."""
    foot, size = problem.footprint, DOUBLE
    kept = 0 if _kept(problem, size) else foot.kept
    return size * (foot.inputs + kept + foot.each) * _batch_size(problem, size)


def _spot_check(problem: Problem) -> int:
    """Return the bytes of products in float64: a block of pilots where they are kept, else one vector at a time."""
    together = VECTORS if pilots_fit(problem, problem.memory) else 1
    return DOUBLE * (2 * together + 2) * problem.num_params


def _own(problem: Problem, measure: Measure, basis: int) -> int:
    """Return the bytes of the measure's own temporaries: a block of probes, or the float64 of inner products."""
    P, own = problem.num_params, problem.dtype.itemsize
    mlp = structure_of(problem)
    if isinstance(measure, RoutedMeasure) and mlp is not None and measure.is_sum(problem):
        return int(block_norms_cost(problem, mlp)[1])
    if measure.name in PROBES:
        size = own if measure.name == "moments" else DOUBLE
        fit = max(1, problem.memory // 2 // (OF_A_PROBE * P * size))
        return min(fit, max(map(len, blocks_of(PROBES[measure.name])))) * (OF_A_PROBE - 1) * P * size
    if measure.name == "rescaling":
        return 7 * DOUBLE * P
    if basis:
        return DOUBLE * min(ROWS, P) * (basis // (own * P)) + 4 * own * P
    if measure.name == "rank":
        return min(measure.asked.memory, MATRICES * DOUBLE * (problem.num_data * problem.num_outputs) ** 2)
    return measure.cost(problem).bytes
