"""Each sample's squared gradient by parameter tensor, for a whole batch at once, by formulas that are tried first."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.affine.capture import Captured, capture
from scalecurv.affine.columns import Columns
from scalecurv.affine.single_samples import close, one_at_a_time
from scalecurv.affine.uses import Layout, Misfit, Squares, prepared
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered

POWERS = 64  # different powers of two, by which the cotangents of samples are told apart
SIZES = (2, 3)  # samples of the two passes that tell which axis is that of samples


@dataclass(frozen=True)
class Plan:
    """The parameters that have a formula, with the layout of each use, and the scalars that uses hold for a sample."""

    layouts: Mapping[str, tuple[Layout, ...]]
    scalars: int


@remembered
def plan_of(problem: Problem) -> Plan:
    """Return the formulas that hold on the first samples of the data, the same on all ranks; remembered.

    Two passes forward, of two samples and of three, tell the axis of samples of each output. The squares of a random
    cotangent must then be those of three passes of one sample each, in which no formula is used. A parameter fails
    that is used in a way without a formula, and one that is used by samples together.
    """
    few, many = (problem.sample[torch.arange(size, device=problem.device) % len(problem.sample)] for size in SIZES)
    parts, names = problem.space.unflatten(problem.theta), frozenset(problem.space.shapes)
    smaller, larger = (capture(problem.forward, parts, names, x) for x in (few, many))
    rng = torch.Generator().manual_seed(0)
    cotangent = torch.randn(larger.f.shape, generator=rng, dtype=torch.float64).to(problem.theta)[:, :, None]
    alone = one_at_a_time(problem, many, tuple(problem.space.shapes), Columns(cotangent))
    scale = float(alone.max())
    wanted = dict(zip(problem.space.shapes, alone.T, strict=True))
    left = {name: _candidates(smaller, larger, name) for name in names}
    found: dict[str, tuple[Layout, ...]] = {}
    for i in range(2):  # tokens of a sample as neighbours, then apart
        tried = {name: layouts[i] for name, layouts in left.items() if name not in found and len(layouts) > i}
        squares = by_formula(larger, tried, SIZES[1], Columns(cotangent))
        for name, square in squares.items():
            ambiguous = len(left[name]) > 1 and not bool(wanted[name].any())  # zeros tell no layout from another
            if not ambiguous and close(square, wanted[name], scale, problem.dtype):
                found[name] = tried[name]
    scalars = sum(use.held for name in found for use in larger.uses[name]) // SIZES[1]
    return Plan({name: found[name] for name in problem.space.shapes if name in found}, scalars)


def _candidates(smaller: Captured, larger: Captured, name: str) -> list[tuple[Layout, ...]]:
    """Return the layouts that agree with the sizes of both passes, at most two; none where there is no formula."""
    pairs = list(zip(smaller.uses[name], larger.uses[name], strict=False))
    if name in smaller.elsewhere | larger.elsewhere or len(smaller.uses[name]) != len(larger.uses[name]):
        return []
    axes = [_axis(tuple(a.out.shape), tuple(b.out.shape)) for a, b in pairs]
    if None in axes:
        return []
    several = any(b.out.shape[axis] > SIZES[1] for (_, b), axis in zip(pairs, axes, strict=True) if axis is not None)
    return [
        tuple(Layout(type(use), axis, strided) for (_, use), axis in zip(pairs, axes, strict=True) if axis is not None)
        for strided in ((False, True) if several else (False,))
    ]


def _axis(few: tuple[int, ...], many: tuple[int, ...]) -> int | None:
    """Return the one axis that grows with the number of samples, None where there is none or more than one."""
    if len(few) != len(many):
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(few, many, strict=True)) if a != b]
    fits = len(changed) == 1 and few[changed[0]] * SIZES[1] == many[changed[0]] * SIZES[0] > 0
    return changed[0] if fits else None


def by_formula(
    captured: Captured, layouts: Mapping[str, tuple[Layout, ...]], count: int, columns: Columns
) -> dict[str, Tensor]:
    """Return sum_k e_ik |J_iW' u_ik|^2 for each sample of a pass, (B,) in float64, by the name of W.

    Names are left out of which the pass used the parameter in another way than the layouts say. One backward pass a
    column, to the outputs of the uses and not to the parameters.
    """
    squares: dict[str, Squares] = {}
    for name, layout in layouts.items():
        if name not in captured.elsewhere:
            try:
                squares[name] = prepared(captured.uses[name], layout, count)
            except Misfit:
                continue
    outs = {id(use.out): use.out for name in squares for use in captured.uses[name]}
    if captured.chosen and count > 1:
        _drop_mixed(captured, layouts, count, squares, outs)
    found = {name: torch.zeros(count, dtype=torch.float64, device=captured.f.device) for name in squares}
    for k in range(columns.values.shape[2]):
        cotangents = _pulled(captured.f, columns.values[:, :, k], outs)
        for name, square in squares.items():
            each = square([cotangents[id(use.out)] for use in captured.uses[name]])
            found[name] += columns.turned(each, k)
    return found


def _pulled(f: Tensor, cotangent: Tensor, outs: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Return the pull-backs of a cotangent of f (B, D) to the outputs of all uses, 0 where f does not depend on one."""
    found: tuple[Tensor | None, ...] = (None,) * len(outs)
    if f.requires_grad and outs:
        turned = (f * cotangent.to(f.dtype)).sum()
        found = torch.autograd.grad(turned, tuple(outs.values()), retain_graph=True, allow_unused=True)
    pairs = zip(outs.items(), found, strict=True)
    return {key: torch.zeros_like(out) if grad is None else grad for (key, out), grad in pairs}


def _drop_mixed(
    captured: Captured,
    layouts: Mapping[str, tuple[Layout, ...]],
    count: int,
    squares: dict[str, Squares],
    outs: Mapping[int, Tensor],
) -> None:
    """Drop names of which an output has the cotangent of one sample in the place of another, as where rows are sorted.

    A second cotangent is the first times a power of two of each sample's own. So it must be at each place, and there it
    is to the last bit, as no rounding depends on a power of two.
    """
    rng = torch.Generator().manual_seed(0)
    powers = torch.ldexp(torch.ones(count), (torch.randperm(count, generator=rng) % POWERS) - POWERS // 2)
    powers = powers.to(captured.f)
    cotangent = torch.randn(captured.f.shape, generator=rng, dtype=torch.float64).to(captured.f)
    once, turned = (_pulled(captured.f, c, outs) for c in (cotangent, cotangent * powers[:, None]))
    for name in list(squares):
        for use, layout in zip(captured.uses[name], layouts[name], strict=True):
            first, second = (layout.rows(each[id(use.out)], count).flatten(1) for each in (once, turned))
            off, largest = (rows.abs().amax(1) for rows in (second - first * powers[:, None], second))
            if not bool((off <= torch.finfo(off.dtype).eps ** 0.5 * largest).all()):
                squares.pop(name, None)
