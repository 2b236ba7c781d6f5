"""Each sample's squared gradient by parameter tensor, for any use of a parameter: one gradient a sample and column."""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import vjp, vmap

from scalecurv.affine.columns import Columns
from scalecurv.errors import CheckpointError, Misuse
from scalecurv.problem.forward import Forward
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.user_model import quoted
from scalecurv.samples.nested import Inputs, Nested, leaves_of

WHAT = "the gradient of one sample's outputs"


def gradient_squares(problem: Problem, x: Inputs, names: tuple[str, ...], columns: Columns) -> Tensor:
    """Return sum_k e_ik |J_iW' u_ik|^2 for each sample and each named tensor W, (B, len(names)) in float64.

    Samples are vectorised, as many as fit into the memory, where torch.func takes the model and agrees with plain
    autograd; else they are taken one at a time.
    """
    road = next((copied for copied in (False, True) if names and is_vectorised(problem, names, copied)), None)
    if road is None:
        return one_at_a_time(problem, x, names, columns)
    size = sum(problem.space.shapes[name].numel() for name in names)
    scalars = 3 * size + 6 * problem.footprint.activations + columns.values[0].numel()
    step = max(1, problem.memory // 2 // (problem.dtype.itemsize * scalars))
    parts = [slice(start, start + step) for start in range(0, len(x), step)]
    return torch.cat([_vectorised(problem, x[some], names, columns.some(some), road) for some in parts])


def one_at_a_time(problem: Problem, x: Inputs, names: tuple[str, ...], columns: Columns) -> Tensor:
    """Return the same by plain autograd, for one sample after another."""
    parts = problem.space.unflatten(problem.theta)
    found = torch.zeros(len(x), len(names), dtype=torch.float64, device=problem.device)
    for i in range(len(x) if names else 0):
        leaves = {name: part.detach().requires_grad_(name in names) for name, part in parts.items()}
        with torch.enable_grad(), quoted(problem.model, WHAT):
            f = problem.forward.outputs_at(leaves, x[i : i + 1])
            for k in range(columns.values.shape[2] if f.requires_grad else 0):
                turned = (f * columns.values[i, :, k].to(f.dtype)).sum()
                wanted = tuple(leaves[name] for name in names)
                grads = torch.autograd.grad(turned, wanted, retain_graph=True, allow_unused=True)
                sizes = [0.0 if g is None else float(g.double().square().sum()) for g in grads]
                sign = 1.0 if columns.signs is None else float(columns.signs[i, k])
                found[i] += sign * found.new_tensor(sizes)
    return found


def close(found: Tensor, wanted: Tensor, scale: float, dtype: torch.dtype) -> bool:
    """Return True where squares (B,) agree to half the digits of the dtype.

    `scale` is the largest square of any tensor: below the square of its rounding all digits are noise, as in a gradient
    whose terms cancel to 0.
    """
    eps = torch.finfo(dtype).eps
    return bool((found - wanted).abs().max() <= eps**0.5 * wanted.abs().max() + eps**1.5 * scale)


@remembered
def is_vectorised(problem: Problem, names: tuple[str, ...], copied: bool = False) -> bool:
    """Return True where vectorised gradients of the first samples are those of plain autograd, without a warning.

    With `copied` each sample has parameters of its own, as recurrent layers need it.
    """
    x = problem.sample[torch.arange(2, device=problem.device) % len(problem.sample)]
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(2, problem.num_outputs, 2, generator=rng, dtype=torch.float64).to(problem.theta)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with quoted(problem.model, WHAT):
                found = _vectorised(problem, x, names, Columns(values), copied)
        except (CheckpointError, Misuse):  # torch.func does not take this model; autograd reports what is wrong
            return False
    if any("performance drop" in str(warning.message) for warning in caught):
        return False
    wanted = one_at_a_time(problem, x, names, Columns(values))
    scale = float(wanted.abs().max())
    return all(close(a, b, scale, problem.dtype) for a, b in zip(found.T, wanted.T, strict=True))


def _vectorised(problem: Problem, x: Inputs, names: tuple[str, ...], columns: Columns, copied: bool = False) -> Tensor:
    """Return the same by vmap; `copied` gives each sample parameters of its own, which recurrent layers need."""
    parts = problem.space.unflatten(problem.theta)
    fixed = {name: part for name, part in parts.items() if name not in names}
    forward: Forward = replace(problem.forward, constants=problem.forward.constants | fixed)
    free = {name: parts[name] for name in names}
    if copied:
        free = {name: part.expand(len(x), *part.shape) for name, part in free.items()}

    def squares(leaves: list[Tensor], values: Tensor, free: dict[str, Tensor]) -> Tensor:
        one = refilled(x, [leaf[None] for leaf in leaves])

        def outputs(at: Mapping[str, Tensor]) -> Tensor:
            return forward.outputs_at(at, one)

        f, pull = vjp(outputs, free)  # type: ignore[misc]
        rows = []
        for k in range(values.shape[1]):  # a loop: vmap of vmap has wrong rules for some norms
            (gradient,) = pull(values[None, :, k].to(f.dtype))
            rows.append(torch.stack([gradient[name].double().square().sum() for name in names]))
        return torch.stack(rows)

    found = vmap(squares, (0, 0, 0 if copied else None))(leaves_of(x), columns.values, free)  # (B, K, names)
    return found.sum(1) if columns.signs is None else (found * columns.signs[:, :, None]).sum(1)


def refilled(x: Inputs, leaves: list[Tensor]) -> Inputs:
    """Return inputs of the same form with these arrays in the place of its own."""
    if not isinstance(x, Nested):
        return leaves[0]
    given = iter(leaves)
    return x.map(lambda leaf: next(given))
