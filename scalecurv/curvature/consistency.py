"""Whether products are those of the loss: H and J are checked against differences before anything rests on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.curvature.graphs import hessian_product, linearized, road_of
from scalecurv.curvature.lookups import any_length
from scalecurv.curvature.problem import Batch, Problem
from scalecurv.curvature.user_model import quoted
from scalecurv.errors import CheckpointError
from scalecurv.linalg.probes import probes

STREAM = "consistency"
SAMPLES = 256  # at most, evenly spread over the data
ACTIVATIONS = 2e5  # at most, of these samples together: the fewer kinks are near, the sooner a small step meets none
APART = 1e-3  # the distance from theta, relative to a tensor's size: no tie of zeros survives there
STEPS = (1e-5, 1e-6, 1e-7)  # of the differences, relative likewise
TOLERANCE = 1e-4  # of a tensor's rows
ALIKE = 0.3  # what two differences may differ by, relative, and still tell the same
COARSE = 1e-2  # of |Hv|, where the model computes in less than float64 and differences tell nothing
DUST = 1e-9  # of products and gradient together: rows below it are rounding
NAMED = 6  # parameters in one line


def check_derivatives(problem: Problem) -> None:
    """Check H, J and g at one point near theta, in float64, on some of the samples; remembered.

    For random u and v: u'Hv = v'Hu and <Jv, u> = <v, J'u>; g'v, Hv and Jv against central differences of L, g and f
    at three step sizes. A kink crossed at one step is not crossed at all of them, so that only what disagrees at every
    step, and alike at the two smallest, counts. What no gradient reaches is held fixed: a padding row, a detached
    tensor. Costs about six gradients and four products on at most 256 samples. Where the model computes in less than
    float64 only symmetry is checked, to a hundredth. Raises CheckpointError that names the parameters.
    """
    if "consistent" in problem.kept:
        return
    reason = None
    if problem.num_local:
        count = min(problem.num_local, SAMPLES, max(2, int(ACTIVATIONS / max(problem.footprint.activations, 1))))
        rows = torch.arange(count, device=problem.device) * (problem.num_local - 1) // max(count - 1, 1)
        with any_length():
            reason = _Check.near(problem.of_some(rows).astype(torch.float64)).fault()
    if (reason := problem.shard.first(reason)) is not None:
        raise CheckpointError(reason)
    problem.kept["consistent"] = True


@dataclass(frozen=True)
class _Check:
    """Few samples at a point off theta; `sizes` (P,) scales directions, each tensor by the size of its entries."""

    problem: Problem
    batch: Batch
    sizes: Tensor

    @classmethod
    def near(cls, problem: Problem) -> "_Check":
        overall = float(problem.theta.square().mean().sqrt()) or 1.0
        sizes = torch.empty_like(problem.theta)
        for part in problem.space.slices.values():
            sizes[part] = float(problem.theta[part].square().mean().sqrt()) or overall
        problem.theta = problem.theta + APART * sizes * cls._drawn(problem, 0)
        return cls(problem, problem.whole, sizes)

    @staticmethod
    def _drawn(problem: Problem, i: int) -> Tensor:
        return probes(problem.num_params, 0, STREAM, (i,), "gaussian", torch.float64, problem.device)[:, 0]

    def fault(self) -> str | None:
        """Words for what is wrong; None where all agrees, or where an overflow hides it, as products will tell."""
        problem = self.problem
        _, g, _ = self._at(problem.theta)
        free = self.sizes * (g != 0)
        V = torch.stack([free * self._drawn(problem, i) for i in (1, 2)], dim=1)
        HV = hessian_product(problem, self.batch)(V)
        side = linearized(problem, self.batch)
        signs = probes(side.f.numel(), 0, STREAM, (0,), device=problem.device)
        Jv, Js = side.push(V[:, :1])[:, 0], side.pull(signs)[:, 0]
        if not all(bool(part.isfinite().all()) for part in (g, HV, Jv, Js)):
            return None
        rows = HV * free[:, None]
        dust = DUST * float(rows.norm() + (g * free).norm()) + 1e-12 * problem.scale * float((Js * free).norm()) ** 2
        gap, across = float(V[:, 1] @ HV[:, 0] - V[:, 0] @ HV[:, 1]), float(signs[:, 0] @ Jv - Js @ V[:, 0])
        coarse = _is_coarse(problem, self.batch)
        size = float(rows.norm())
        if abs(gap) > (COARSE if coarse else TOLERANCE) * size + dust:
            return _line("H is not symmetric", abs(gap) / size, self._asymmetric(free, V, HV, dust))
        if coarse:
            return None
        if abs(across) > TOLERANCE * float(Jv.norm()) + DUST * float((Js * free).norm()):
            return _line("the products with J and J' are not each other's transposes", abs(across), ())
        return self._against_differences(V[:, 0], g, HV[:, 0], Jv, free, dust)

    def _at(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L, g (P,) and f (B D,) at theta, by one pass forward and one back."""
        problem, y = self.problem, self.batch.y
        road = road_of(problem)
        with quoted(problem.model, "the gradient near these weights"):
            side = road.linearized(lambda at: problem.outputs(at, self.batch.x), theta)
            slope, loss = road.gradient(lambda f: problem.scale * problem.loss.total(f, y), side.f)
            return loss, side.pull(slope.reshape(-1, 1))[:, 0], side.f.flatten()

    def _against_differences(
        self, v: Tensor, g: Tensor, Hv: Tensor, Jv: Tensor, free: Tensor, dust: float
    ) -> str | None:
        losses, slopes, outputs = [], [], []
        for step in STEPS:
            after, before = self._at(self.problem.theta + step * v), self._at(self.problem.theta - step * v)
            dL, dg, df = ((a - b) / (2 * step) for a, b in zip(after, before, strict=True))
            losses.append((dL - g @ v)[None])
            slopes.append((dg - Hv) * free)
            outputs.append(df - Jv)
        share = _wrong(losses, float((g * free).norm()), dust)
        if share:
            names = [name for name, part in self.problem.space.slices.items() if self._bends_apart(g, v, part, dust)]
            return _line("the gradient is not that of the loss", share, names)
        parts = self.problem.space.slices
        found = {
            name: _wrong([d[part] for d in slopes], float((Hv * free)[part].norm()), dust)
            for name, part in parts.items()
        }
        if any(found.values()):
            return _line("H is not the derivative of the gradient", max(found.values()), [n for n in found if found[n]])
        share = _wrong(outputs, float(Jv.norm()), DUST * float(Jv.norm() + self._at(self.problem.theta)[2].norm()))
        return _line("J is not the derivative of the outputs", share, ()) if share else None

    def _bends_apart(self, g: Tensor, v: Tensor, part: slice, dust: float) -> bool:
        """Whether the loss changes otherwise than its gradient says along one tensor alone."""
        alone = torch.zeros_like(v)
        alone[part] = v[part]
        gaps = []
        for step in STEPS:
            after, before = (self._at(self.problem.theta + sign * step * alone)[0] for sign in (1, -1))
            gaps.append(((after - before) / (2 * step) - g @ alone)[None])
        return bool(_wrong(gaps, float((g * self.sizes)[part].norm()), dust))

    def _asymmetric(self, free: Tensor, V: Tensor, HV: Tensor, dust: float) -> list[str]:
        """The tensors between whose rows and columns u'Hv and v'Hu differ, one product each, the first of them."""
        slices = dict(list(self.problem.space.slices.items())[:64])
        names = []
        for name, part in slices.items():
            alone = torch.zeros_like(V[:, :1])
            alone[part] = V[part, 1:]
            turned = hessian_product(self.problem, self.batch)(alone)[:, 0]
            gap = float(alone[:, 0] @ HV[:, 0] - V[:, 0] @ turned)
            if abs(gap) > TOLERANCE * float((turned * free).norm()) + dust:
                names.append(name)
        return names


def _wrong(gaps: Sequence[Tensor], size: float, dust: float) -> float:
    """The share of `size` by which all differences miss, where the last two tell the same; else 0."""
    sizes = [float(gap.norm()) for gap in gaps]
    bound = TOLERANCE * max(size, *(abs(s) for s in sizes)) + dust
    if not all(bound < s < float("inf") for s in sizes):
        return 0.0
    alike = float((gaps[-1] - gaps[-2]).norm()) <= ALIKE * max(sizes[-2:])
    return sizes[-1] / max(size, sizes[-1]) if alike else 0.0


def _is_coarse(problem: Problem, batch: Batch) -> bool:
    """Whether some part of the model, in float64 outside, computes in a narrower type: its graph holds a cast."""
    point = problem.theta.detach().requires_grad_()
    with torch.enable_grad():
        todo, seen = [problem.outputs(point, batch.x[:1]).grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().startswith("ToCopyBackward"):
            return True
        todo += [parent for parent, _ in node.next_functions]
    return False


def _line(what: str, share: float, names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    rows = f", in the rows of {listed}" if names else ""
    return (
        f"{what}: off by {share:.1e}{rows}, by products against differences at {len(STEPS)} step sizes; the model or "
        f"loss has a backward of its own that is not its derivative (autograd.Function, hook, detach), or an operation "
        f"that torch differentiates wrongly: write it in plain operations, or hold these parameters fixed by "
        f"requires_grad_(False)"
    )
