"""The most products and bytes that a measure may take, known before anything is computed."""

from collections.abc import Iterable
from dataclasses import dataclass

from scalecurv.measures.route import MAX_LANCZOS, Strategy, dense_bytes
from scalecurv.problem.problem import Problem

POINT = 8  # products along the gradient and of the spot check, which all measures share


@dataclass(frozen=True)
class MeasureCost:
    """The largest number of Hessian products, and of bytes, that a measure may take.

    Products that measures share are taken once: the largest number that one of the measures needs counts. All fields
    count products, except `bytes`.

    own: not shared with other measures; `own_probes` of them multiply probes.
    shared: shared with other measures, POINT included; `shared_probes` of them multiply probes.
    written_out: one for each column of H where H is written out.
    bytes: the size of Krylov bases or P x P matrices.
    """

    own: int = 0
    own_probes: int = 0
    shared: int = POINT
    shared_probes: int = 0
    written_out: int = 0
    bytes: int = 0


def together(costs: Iterable[MeasureCost]) -> MeasureCost:
    """Return the cost of several measures at one checkpoint: the sum of what is not shared, the largest of what is.

    Example:
        >>> together([MeasureCost(own=10, shared=20), MeasureCost(own=5, shared=30)])
        MeasureCost(own=15, own_probes=0, shared=30, shared_probes=0, written_out=0, bytes=0)
    """
    total = MeasureCost()
    for cost in costs:
        total = MeasureCost(
            total.own + cost.own,
            total.own_probes + cost.own_probes,
            max(total.shared, cost.shared),
            max(total.shared_probes, cost.shared_probes),
            max(total.written_out, cost.written_out),
            max(total.bytes, cost.bytes),
        )
    return total


def basis_bytes(problem: Problem, memory: int) -> int:
    """Return the bytes of two Lanczos bases, at most `memory`."""
    return min(memory, 2 * MAX_LANCZOS * problem.num_params * problem.dtype.itemsize)


def bytes_of(problem: Problem, strategy: Strategy) -> int:
    """Return the bytes of the Krylov bases, or of the matrices where H is written out and these are larger."""
    bases = basis_bytes(problem, strategy.memory)
    return max(bases, dense_bytes(problem.num_params)) if strategy.dense_is_taken(problem) else bases
