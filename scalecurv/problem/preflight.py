"""Checks, in a few passes, that each output is a function of theta and its own sample alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.samples.nested import Inputs

SAMPLES = 8  # evaluated in another order, and one by one
REDRAWS = 64  # for a model that draws: a block dropped in one pass of ten is then missed less than once in a thousand
# what two passes may differ by: threads and atomics add up in any order, and no meaningful noise is so small
REPEATABLE = {torch.float32: 1e-4, torch.float64: 1e-10}
MARGIN = 100  # over the response to one rounding: batches of other sizes are multiplied by other kernels


@remembered
def preflight(problem: Problem) -> None:
    """Check that f_theta(x) is the same in two passes and f_theta(x)_i = f_theta(x_i), x (B, ...), f (B, D); once.

    Differences at rounding level pass, as do random draws that change no output; no random state is moved. A list of
    Flatten, Linear, Dropout and activations of torch with a loss by name is known to be so, and is not evaluated.
    Each rank checks its own samples, and all ranks take the largest change. Raises Misuse, in different words, where
    the model draws at random, where an output depends on the other samples or on their order, where there is not one
    row of outputs for each sample, where nothing depends on theta, and where a user's own loss compares samples;
    CheckpointError where outputs overflow in one order of the samples and not in another.
    """
    if problem.listed is not None and problem.loss.factor is not None:
        return  # modules of torch that take samples one by one, with a loss that does: nothing is left to see
    with _unmoved_random_state(problem.device):
        size = min(SAMPLES, max(problem.batch_size, 2), problem.num_local)
        rows = torch.arange(size, device=problem.device) * (problem.num_local - 1) // max(size - 1, 1)
        some = problem.rows.take(rows)
        x, y = some.x, some.y
        _refuse_draws(problem, next(problem.own_batches()).x, x)
        _refuse_company(problem, x)
        _refuse_cut(problem, x, y)
        if problem.loss.factor is None:  # a loss by name is known to treat samples one by one
            _refuse_comparison(problem, _outputs(problem, x), y)


def _refuse_cut(problem: Problem, x: Inputs, y: Inputs) -> None:
    """Raise Misuse where outputs do not depend on theta, or the loss on the outputs: every number would be 0."""
    f = problem.outputs(problem.theta.clone().requires_grad_(), x)
    if problem.params is None and not f.requires_grad:
        raise Misuse(
            "no output of the model depends on a trainable parameter: its forward detaches them, leaves torch or runs "
            "under torch.no_grad(); take that out"
        )
    if not problem.loss.total(f.detach().requires_grad_(), y).requires_grad:
        raise Misuse(
            f"loss {problem.loss.name} does not depend on the outputs: it detaches them or leaves torch; take that out"
        )


def _refuse_draws(problem: Problem, batch: Inputs, x: Inputs) -> None:
    """Raise Misuse where the outputs of the same samples change from one pass to the next."""
    before = _random_state(problem.device)
    f = _outputs(problem, batch)
    drawn = problem.shard.largest(_random_state(problem.device) != before, problem.device)
    _refuse_change(problem, f, batch)
    if drawn:  # a draw may seldom have an effect: two passes are not enough to see it
        f = _outputs(problem, x)
        for _ in range(REDRAWS):
            _refuse_change(problem, f, x)


def _refuse_change(problem: Problem, f: Tensor, x: Inputs) -> None:
    """Raise Misuse where the outputs for x are no longer f."""
    change = problem.shard.largest(_change(f, _outputs(problem, x)), problem.device)
    if change > REPEATABLE.get(problem.dtype, torch.finfo(problem.dtype).eps ** 0.5):
        raise Misuse(
            f"the model's outputs change by {change:.1e} of the largest when the same samples are evaluated again: it "
            f"draws at random inside (noise, augmentation, stochastic depth) or keeps a state; call model.eval(), or "
            f"move augmentation out of forward"
        )


def _refuse_company(problem: Problem, x: Inputs) -> None:
    """Raise Misuse where the output of a sample depends on its place in the batch or on the other samples.

    Raises CheckpointError where outputs overflow in one order and not in another.
    """
    f = _outputs(problem, x)
    backwards = torch.arange(len(x) - 1, -1, -1, device=problem.device)
    others = {
        "their order is reversed": lambda: _outputs(problem, x[backwards]).flip(0),
        "each is evaluated alone": lambda: torch.cat([_outputs(problem, x[i : i + 1]) for i in range(len(x))]),
    }
    for way, evaluate in others.items():
        g = evaluate()
        if problem.shard.largest(float(bool((f.isfinite() != g.isfinite()).any())), problem.device):
            raise CheckpointError(
                f"the outputs of {len(x)} samples overflow or not as rounding will have it, {way}: the weights are too "
                f"large for {problem.dtype}; try --dtype float64, or look at the weights"
            )
        change = _change(f, g)
        telling = change > torch.finfo(problem.dtype).eps ** 0.5 and change > MARGIN * _rounding(problem, x, f)
        if change := problem.shard.largest(change if telling else 0.0, problem.device):
            raise Misuse(
                f"the outputs of {len(x)} samples change by {change:.1e} of the largest when {way}: the output of a "
                f"sample depends on its place or on the rest of its batch (batch statistics, shuffling inside); call "
                f"model.eval(), or make the model treat every sample by itself"
            )


def _refuse_comparison(problem: Problem, f: Tensor, y: Inputs) -> None:
    """Raise Misuse where the loss of a batch is not the sum of the losses of its samples."""
    total = problem.loss.total
    alone = torch.stack([total(f[i : i + 1], y[i : i + 1]) for i in range(len(f))])
    together = total(f, y)
    gap, size = float((together - alone.sum()).abs()), float(torch.maximum(together.abs(), alone.abs().sum()))
    change = gap / size if gap > torch.finfo(problem.dtype).eps ** 0.5 * size else 0.0
    if change := problem.shard.largest(change, problem.device):
        raise Misuse(
            f"loss {problem.loss.name} changes by {change:.1e} of itself when {len(f)} samples are evaluated one by "
            f"one: the loss of a sample depends on the rest of its batch; return what each sample costs by itself"
        )


def _outputs(problem: Problem, x: Inputs) -> Tensor:
    """Return f (B, D) without its graph; raise Misuse where the shape is wrong."""
    f, wanted = problem.outputs(problem.theta, x).detach(), (len(x), problem.num_outputs)
    if f.shape != wanted:
        raise Misuse(
            f"the model's outputs for {len(x)} samples have shape {tuple(f.shape)}, wanted {wanted}; return one row a "
            f"sample, of one width whatever the batch"
        )
    return f


def _change(f: Tensor, g: Tensor) -> float:
    """Return max |f - g| / max(|f|, |g|); equal infinities and NaNs count as 0, one that stands alone as inf."""
    alike = (f == g) | (f.isnan() & g.isnan())
    gap = (f - g).abs().masked_fill(alike, 0).nan_to_num(torch.inf, torch.inf).max()
    largest = torch.stack([f, g]).abs().nan_to_num(0, 0).max()
    return float(gap / largest) if gap > 0 else 0.0


def _rounding(problem: Problem, x: Inputs, f: Tensor) -> float:
    """Return the change when every parameter moves by its last digit: large where terms of the outputs cancel."""
    digits = torch.randint(2, problem.theta.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    moved = problem.theta * (1 + torch.finfo(problem.dtype).eps * digits.to(problem.device, problem.dtype))
    return _change(f, problem.outputs(moved, x).detach())


@contextmanager
def _unmoved_random_state(device: torch.device) -> Iterator[None]:
    """Put the random state of Python, NumPy and torch back at the end."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  a model may draw from it
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _random_state(device: torch.device) -> tuple[Any, ...]:
    """Return the state of all generators that a model may draw from; it is equal as long as nothing was drawn."""
    numpy: Any = np.random.get_state()  # noqa: NPY002
    torches = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    return (random.getstate(), numpy[1].tobytes(), *numpy[2:], *(state.numpy().tobytes() for state in torches))
