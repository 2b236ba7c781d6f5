"""Steps of a given length along which the loss rises, and how much it does."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from scalecurv.geometry.trust_region import trust_region_maximum
from scalecurv.linalg.inner import gram, norms, project_out
from scalecurv.linalg.krylov.block_space import BlockSpace, merged
from scalecurv.linalg.krylov.lanczos import Lanczos, LanczosProcess
from scalecurv.linalg.krylov.ritz import Remainder
from scalecurv.linalg.probes import probes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import VISIBLE
from scalecurv.operators.products import loss_and_gradient
from scalecurv.problem.graphs import inner_eps
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.risk import gradient_at, losses_at
from scalecurv.statistics.estimate import Estimate, Status

STREAM, ULP_STREAM = "sharpness start", "sharpness rounding"
STEPS = 20  # products that build the space: half from g, half from a random start
TOPS = 2  # Ritz vectors that are tried
ULPS = 16  # of L, and times the change of L where theta moves by ulps: what rounding may do to a value of L
DRAWS = 3  # of such moves
ASCENT = 8  # gradients by which the best step is turned further
HALVINGS = 10  # of the radius, where the loss overflows on it
INSIDE = 1 - 1e-12  # of the radius, so that rounding takes no step out of the ball


@remembered
def loss_rounding(evaluation: Evaluation) -> tuple[float, float]:
    """Return L in float64, and a bound on the rounding error of a value of L near theta; remembered.

    The bound is 16 times the largest change of L in three moves of theta by an ulp of each entry, and 16 ulps of L.
    Where the model holds narrower floats inside, the ulps are theirs.
    """
    problem = evaluation.double
    eps = max(torch.finfo(torch.float64).eps, inner_eps(problem))
    draws = probes(problem.num_params, evaluation.seed, ULP_STREAM, range(DRAWS), "gaussian", device=problem.device)
    moved = [problem.theta * (1 + eps * draws[:, j]) for j in range(DRAWS)]
    losses = losses_at(problem, (problem.theta, *moved))
    changes = (losses[1:] - losses[0]).abs()
    return float(losses[0]), ULPS * (float(changes.max()) + eps * abs(float(losses[0])))


def ascents(evaluation: Evaluation, radius: float, budget: int, memory: int) -> dict[str, Estimate]:
    """Return the largest rise of the loss that is found within `radius`, and that of SAM's step along the gradient.

    The steps are the maximiser of g'd + d'Hd/2 in a Krylov space of at most 20 products, its mirror image, SAM's step
    and the top Ritz vectors; the best of them is turned towards the gradient where it ends, eight times. The loss is
    evaluated at each in float64. Steps on which it overflows are left out, and are halved where none is left.
    """
    problem = evaluation.double
    loss, error = loss_rounding(evaluation)
    g = loss_and_gradient(problem)[1]
    length = float(norms(g[:, None])[0])
    space = _space(evaluation, g if length > 0 else None, min(STEPS, budget), memory)
    steps = _steps(space, g, length, radius * INSIDE)
    products, rises = space.num_matvecs, dict.fromkeys(steps, -math.inf)
    for halving in range(HALVINGS + 1):
        points = [problem.theta + step / 2**halving for step in steps.values()]
        rises = dict(zip(steps, (losses_at(problem, points) - loss).tolist(), strict=True))
        if halving == 0:
            sam = rises.get("SAM's step")
        if any(map(math.isfinite, rises.values())):
            break
    finite = {name: rise for name, rise in rises.items() if math.isfinite(rise)}
    best = max(finite, key=lambda name: finite[name], default="no step")
    found = max(finite.get(best, 0.0), 0.0)  # d = 0 is a step too
    if finite:
        found, turns = _turned(problem, steps[best] / 2**halving, loss, found)
        best += f", turned {turns} time(s) towards the gradient" if turns else ""
    method = f"{best}: the best of {len(finite) + ASCENT} steps at which the loss is evaluated"
    if not finite:
        method = "no step, as the loss overflows at each: give a smaller radius"
    elif halving:
        method += f", on radius / {2**halving} as the loss overflows"
    below = found - error if found > error else 0.0
    return {
        "sharpness_radius": Estimate.enclosed(found, below, math.inf, method, Status.LOWER_BOUND, num_matvecs=products),
        "sharpness_sam": _evaluated(sam, error),
    }


def _turned(problem: Problem, step: Tensor, loss: float, rise: float) -> tuple[float, int]:
    """Return the largest rise of the loss while a step is turned towards the gradient at its end, and at which turn.

    The length of the step stays; d and grad L(theta + d) are parallel at a maximum on the sphere.
    """
    best, turns, radius = rise, 0, float(step.norm())
    for turn in range(1, ASCENT + 1):
        slope = gradient_at(problem, problem.theta + step)
        length = float(slope.norm())
        if not 0 < length < math.inf:
            break
        step = step / radius + slope / length
        step = step * (radius / (float(step.norm()) or 1.0))
        found = float(losses_at(problem, [problem.theta + step])[0]) - loss
        if found > best:
            best, turns = found, turn
    return best, turns


def _evaluated(rise: float | None, error: float) -> Estimate:
    """Return the rise along the gradient: exact unless the rounding of the two losses is visible in it."""
    if rise is None:
        return Estimate.not_applicable("the gradient is 0")
    found = Estimate.exact(rise, "two evaluations")
    if found.status is Status.FAILED:
        return Estimate.failed("the loss overflows at SAM's step; give a smaller radius")
    if 2 * error <= VISIBLE * abs(rise):
        return found
    return found.widened(2 * error).with_status(Status.CERTIFIED)


def _space(evaluation: Evaluation, g: Tensor | None, budget: int, memory: int) -> BlockSpace:
    """Return the sum of the Krylov spaces of H from g and from a random start, of as many vectors as memory holds."""
    H, P = evaluation.double_hessian, evaluation.problem.num_params
    steps = max(2, min(budget, memory // (8 * P * 4)))  # the basis, its copy where two are merged, Ritz vectors
    start = probes(P, evaluation.seed, STREAM, [0], "gaussian", torch.float64, H.device)
    if g is None:
        return BlockSpace.of(_run(LanczosProcess(H, start[:, 0], steps)))
    first = _run(LanczosProcess(H, g, steps - steps // 2))
    apart, _ = project_out(start, first.basis)
    left = min(steps // 2, P - len(first.alphas))
    if left < 1:
        return BlockSpace.of(first)
    second = _run(LanczosProcess(Remainder(H, first.basis), apart[:, 0], left, first.basis, first.scale))
    return merged(BlockSpace.of(first), second)


def _run(process: LanczosProcess) -> Lanczos:
    process.advance(process.capacity)
    return process.first(process.steps)


def _steps(space: BlockSpace, g: Tensor, length: float, radius: float) -> Mapping[str, Tensor]:
    """Return the steps of at most this length that are tried, by name, (P,) each."""
    slope = gram(space.basis, g[:, None])[:, 0].cpu().numpy()
    best = trust_region_maximum(slope, space.projected, radius)
    d = space.basis @ torch.from_numpy(best).to(space.basis)
    steps = {"the quadratic maximiser": d, "its mirror image": -d}
    if length > 0:
        steps["SAM's step"] = g * (radius / length)
    chosen = np.arange(len(space.values))[::-1][:TOPS]
    for rank, u in enumerate(space.vectors(chosen.copy()).T, 1):
        for sign, where in ((1, "along"), (-1, "against")):
            steps[f"a step {where} Ritz vector {rank}"] = u * (sign * radius / float(u.norm()))
    return steps
