"""The samples of a problem: they come as (x, y), are checked, and each rank keeps its part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.autodiff.backends import stranger
from scalecurv.errors import CheckpointError, Misuse, first_line
from scalecurv.problem.loss import Criterion, Loss
from scalecurv.problem.readiness import check_finite
from scalecurv.problem.shard import Shard
from scalecurv.problem.user_model import main_output, part_of, shape_of_row
from scalecurv.samples.nested import Inputs
from scalecurv.samples.rows import Held, Rows

WHOLE = "x holds whole numbers, which are given as indices: store it as floats where they are quantities"
SAMPLE_SIZE = 4  # samples on which the model is tried


@dataclass(frozen=True)
class Samples:
    """This rank's samples, and the first samples of the data set, on every rank.

    `loss` fits the outputs and targets. `num_data` counts the samples of all ranks, `weight` is the sum of their
    weights, and `most` counts those of the rank that holds most of them.
    """

    rows: Rows
    sample: Inputs
    sample_targets: Inputs
    loss: Loss
    num_data: int
    weight: float
    most: int


def pair(data: Any) -> tuple[Any, Any]:
    """Return x and y of `data` = (x, y); raise Misuse for loaders, data sets, batches and inputs of several parts."""
    if isinstance(data, tuple | list) and len(data) == 2 and all(map(_array, data)):
        return data[0], data[1]
    advice = "give (x, y), one array each, one sample a row; for a loader, tuple(map(torch.cat, zip(*loader)))"
    if isinstance(data, tuple | list) and len(data) == 2 and _array(data[1]):
        raise Misuse(
            f"the inputs come as a {type(data[0]).__name__} of several parts; a model is handed one array: put them "
            f"side by side in it and let a module of yours take them apart"
        )
    raise Misuse(f"data is a {type(data).__name__}{_contents(data)}; {advice}")


def _array(data: Any) -> bool:
    """Return True for one array or a table of plain numbers, False for a list of tensors."""
    if isinstance(data, tuple | list):
        return len(data) == 0 or not any(hasattr(part, "shape") or isinstance(part, str | dict) for part in data)
    return hasattr(data, "shape") and hasattr(data, "__getitem__")


def _contents(data: Any) -> str:
    if isinstance(data, tuple | list):
        return f" of {len(data)} {', '.join(sorted({type(part).__name__ for part in data}))}"
    return ""


def take_samples(
    data: Any,
    criterion: Criterion,
    shard: Shard,
    cast: Callable[[Tensor, bool], Tensor],
    shape_of_outputs: Callable[[Inputs, Any], tuple[int, ...]],
) -> Samples:
    """Return this rank's samples; raise Misuse where the data is no (x, y) that fits model and loss.

    Every rank looks at the samples of all ranks, a shard at a time: if one rank raises, all do. `cast(tensor, floats)`
    brings a tensor to the problem's device and dtype, integers only where `floats` says that they are quantities;
    `shape_of_outputs(sample, shape)` returns the shape of the outputs for one sample, from the first samples and the
    shape of x.
    """
    x, y = pair(data)
    shape, targets_shape = _shape(x, "x"), _shape(y, "y")
    if len(shape) < 1 or shape[0] == 0:
        raise Misuse(f"x has shape {shape}; give at least one sample, shape (N, ...)")
    if not targets_shape or len(x) != len(y):
        raise Misuse(f"x has {len(x)} samples and y has {len(y) if targets_shape else 'one'}; give one target a sample")
    parts, weight = shard.parts(len(x)), 0.0
    for rank, rows in enumerate(parts):
        some, targets = tensor_of(x[rows], "x"), tensor_of(y[rows], "y")
        check_finite({"x": some, "y": targets}, rows.start)
        if rank == 0:
            sample = cast(some[:SAMPLE_SIZE], False)
            loss = criterion.on(shape_of_outputs(sample, shape), targets)
        targets = loss.targets(targets)
        weight += float(loss.weights(targets).double().sum())
        if rank == 0:
            sample_targets = cast(targets[:SAMPLE_SIZE], loss.float_targets)
        if rank == shard.rank:
            own = Held(cast(some, False), cast(targets, loss.float_targets), rows.start)
    if not weight:
        raise Misuse(f"no target counts for loss {criterion.name}: all are ignored; give some that are not")
    most = max(rows.stop - rows.start for rows in parts)
    return Samples(own, sample, sample_targets, loss, len(x), weight, most)


def tried_shape(problem: "Problem", sample: Inputs, shape: Any) -> tuple[int, ...]:
    """Return the shape of the outputs for one sample, from at most two; note in the problem which part they are.

    Raises Misuse where the model does not take x of this `shape`, writes to theta, or holds parameters that theta does
    not reach.
    """
    before, two = problem.theta.clone(), sample[:2]
    try:
        returned = problem.returned(problem.theta, two)
    except CheckpointError as error:
        if (cause := error.__cause__) is None:
            raise
        hint = "" if sample.is_floating_point() else f"; {WHOLE}"
        kind = "" if isinstance(cause, RuntimeError) else f"{type(cause).__name__}: "
        raise Misuse(f"the model does not take x of shape {shape}: {kind}{first_line(cause)}{hint}") from error
    problem.output = main_output(returned, len(two))
    f = part_of(returned, problem.output)
    problem.output_shape = shape_of_row(f, len(two))
    if (held := stranger(f)) is not None:
        raise Misuse(
            f"forward uses a parameter of shape {tuple(held.shape)} that it holds by another way than by name (a "
            f"list, a closure), so that theta does not reach it; use nn.ParameterList, or the module that has it"
        )
    if not torch.equal(before, problem.theta):
        raise Misuse(
            "the model writes to its parameters when it is called, so that no point theta stands still; take that "
            "out of forward"
        )
    return problem.output_shape


def _shape(data: Any, name: str) -> tuple[int, ...]:
    """Return the shape of an array of real numbers; raise Misuse for anything else."""
    odd = isinstance(data, Tensor) and (data.layout != torch.strided or data.is_quantized or data.is_meta)
    if odd or "complex" in str(getattr(data, "dtype", "")):
        raise Misuse(f"{name} is of {data.dtype}, {getattr(data, 'layout', '')}; give a dense array of real numbers")
    try:
        return tuple(np.shape(data))
    except (TypeError, ValueError) as error:  # lists of several lengths, of tensors
        raise Misuse(
            f"{name} is no array of numbers ({first_line(error)}); give one of floats or whole numbers"
        ) from error


def tensor_of(data: Any, name: str) -> Tensor:
    """Return a tensor that shares no memory with an array; integers become int64; raise Misuse for no numbers."""
    try:
        tensor = torch.from_numpy(np.array(data)) if not isinstance(data, Tensor) else data.detach()
    except (TypeError, ValueError) as error:
        raise Misuse(
            f"{name} is no array of numbers ({first_line(error)}); give one of floats or whole numbers"
        ) from error
    return tensor if tensor.is_floating_point() else tensor.long()
