"""A measure and a problem that take less memory, for another attempt after it ran out."""

import gc
import logging
from dataclasses import replace
from typing import Any

import torch

from scalecurv.errors import Misuse, is_memory
from scalecurv.measures.measure import Findings, Measure
from scalecurv.problem.problem import Problem

HALVINGS = 2  # of mini-batches, blocks and bases, before the attempt fails

logger = logging.getLogger(__name__)


def ran_out(problem: Problem, error: BaseException) -> bool:
    """Return True where an error tells that memory ran out, and the samples are on one rank, which may try again.

    Ranks that share the samples of a product must all cut them alike, and only one of them knows of the error.
    """
    return problem.shard.size == 1 and (isinstance(error, torch.OutOfMemoryError) or is_memory(error))


def with_less(measure: Measure, problem: Problem) -> tuple[Measure, Problem] | None:
    """Return the measure with bases and matrices of half the bytes, and the problem with half of a mini-batch.

    Returns None where a route that is asked for allows no less. What the problem keeps between products is dropped.
    """
    memory = getattr(measure, "memory", 0)
    least = min(memory, measure.cost(problem).bytes or memory) // 2
    changes: dict[str, Any] = {"memory": max(least, 1)} if memory else {}
    less = replace(measure, **changes)
    smaller = problem.smaller()
    try:
        less.check(smaller)
    except Misuse:
        return None
    problem.cache.clear()
    gc.collect()  # operators and what they remember refer to each other
    if problem.device.type == "cuda":
        torch.cuda.empty_cache()
    logger.warning(
        "memory ran out in measure %s; it begins again with %d of %d samples in a mini-batch%s",
        measure.name,
        smaller.batch_size,
        problem.num_local,
        f", and at most {least:,} bytes of bases" if memory else "",
    )
    return less, smaller


def told(findings: Findings, problem: Problem) -> Findings:
    """Return the findings, whose methods tell that memory ran out and how many samples a mini-batch has since."""
    since = f"after memory ran out, {problem.batch_size} samples a mini-batch"

    def mark(estimates):  # type: ignore[no-untyped-def]
        return {key: replace(e, method=f"{e.method}; {since}") for key, e in estimates.items()}

    return Findings(mark(findings.estimates), findings.arrays, mark(findings.parts))
