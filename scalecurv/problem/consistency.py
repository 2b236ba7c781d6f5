"""Checks of H, J and the gradient against differences, before any number is computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.autodiff.lookups import any_length
from scalecurv.errors import CheckpointError
from scalecurv.linalg.probes import probes
from scalecurv.problem.graphs import inner_eps
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.road import Opened, Point, Road

STREAM = "consistency"
SAMPLES = 256  # at most, evenly spread over the data
FEW = 32  # samples up to which all are taken; of more, at least as many, and one in PART: the check costs little then
PART = 32
ACTIVATIONS = 2e5  # at most, of these samples together: with fewer kinks near, a small step more likely crosses none
APART = 1e-3  # the distance from theta, relative to the size of an entry: ties between zeros are broken there
STEPS = (1e-5, 1e-6, 1e-7)  # of the differences, relative in the same way
TOLERANCE = 1e-4  # of a tensor's rows
ALIKE = 0.3  # two gaps that differ by no more than this, relative, show the same fault
COARSE = 1e-2  # of |Hv|: the tolerance where the model computes in less than float64 and differences are too coarse
DUST = 1e-9  # of products and gradient together: rows below it are rounding
ULPS = 64  # of a difference's terms
TINY = 1e-150  # its square still is a normal float64
NAMED = 6  # parameters in one line


@remembered
def check_derivatives(problem: Problem, opened: Opened | None = None) -> None:
    """Check H, J and g near theta, in float64, on some of the samples; remembered.

    For random u and v: u'Hv = v'Hu and <Jv, u> = <v, J'u>; g'v, Hv and Jv against central differences of L, g and f at
    three step sizes. A kink that one step crosses is not crossed by all of them, so that a fault counts only if it
    shows at every step, alike at the two smallest, and at a second point too. Parameters that no gradient reaches (a
    padding row, a detached tensor) are held fixed. Costs about six gradients and four products on at most 256 samples,
    and on one sample in 32 where that is more than 32. All come from autograd, or from the passes that `opened`
    returns. Where the model computes in less than float64 only symmetry is checked, to 1 %. Raises CheckpointError that
    names the parameters.
    """
    reason = None
    if problem.num_local:
        wanted = max(FEW, problem.num_local // PART)
        most = max(2, int(ACTIVATIONS / max(problem.footprint.activations, 1)))
        count = min(problem.num_local, SAMPLES, wanted, most, problem.cut or SAMPLES)
        rows = torch.arange(count, device=problem.device) * (problem.num_local - 1) // max(count - 1, 1)
        try:
            with any_length():
                reason = _found(problem, rows, opened)
        except CheckpointError as error:  # on one rank: the others learn of it below
            reason = str(error)
    if (reason := problem.shard.first(reason)) is not None:
        raise CheckpointError(reason)


def _found(problem: Problem, rows: Tensor, opened: Opened | None) -> str | None:
    """Return the fault that shows at two points near theta, so that no kink can be behind it; None where none does."""
    for draw in (0, 3):
        fault = _found_near(problem, rows, draw, opened)
        if fault is None:
            return None
    return fault


def _found_near(problem: Problem, rows: Tensor, draw: int, opened: Opened | None) -> str | None:
    """Return the fault at a point near theta, or at theta itself where the model raises near it; else None."""
    for apart in (APART, 0.0):
        try:
            return _Check.near(problem.of_some(rows).astype(torch.float64), apart, draw, opened).fault()
        except CheckpointError:
            if not apart:
                raise
    return None


@dataclass(frozen=True)
class _Check:
    """Some samples at a point near theta; `sizes` (P,) scales directions, each tensor by the size of its entries."""

    problem: Problem
    road: Road
    sizes: Tensor

    @classmethod
    def near(cls, problem: Problem, apart: float, draw: int, opened: Opened | None) -> "_Check":
        """Return the check at theta + `apart` times a random direction; it moves the theta of `problem`."""
        theta = problem.theta
        overall, sizes = float(theta.square().mean().sqrt()) or 1.0, theta.abs()
        for part in problem.space.slices.values():  # relative to each entry, so that none changes its sign
            sizes[part] += (theta[part] == 0) * (float(theta[part].square().mean().sqrt()) or overall)
        problem.theta = problem.theta + apart * sizes * cls._drawn(problem, draw)
        return cls(problem, Road(problem, problem.whole, opened), sizes)

    @staticmethod
    def _drawn(problem: Problem, i: int) -> Tensor:
        return probes(problem.num_params, 0, STREAM, (i,), "gaussian", torch.float64, problem.device)[:, 0]

    def fault(self) -> str | None:
        """Return words for what is wrong; None where all agrees, or where a product overflows, which raises later."""
        problem = self.problem
        _, g, _ = here = self.road.at(problem.theta)
        free = self.sizes * (g != 0)
        V = torch.stack([free * self._drawn(problem, i) for i in (1, 2)], dim=1)
        HV, side = self.road.hessian(V), self.road.linearized()
        signs = probes(side.f.numel(), 0, STREAM, (0,), device=problem.device)
        slope, _ = self.road.slope(side.f)
        Jv = side.push(V[:, :1])[:, 0]
        # `terms` are those whose sum is g: they may cancel in it
        Js, terms = side.pull(torch.cat([signs, signs * slope.reshape(-1, 1)], dim=1)).T
        if not all(bool(part.isfinite().all()) for part in (g, HV, Jv, Js)):
            return None
        rows = HV * free[:, None]
        dust = DUST * float(rows.norm() + (g * free).norm()) + 1e-12 * problem.scale * float((Js * free).norm()) ** 2
        dust = max(dust, TINY)
        gap, across = float(V[:, 1] @ HV[:, 0] - V[:, 0] @ HV[:, 1]), float(signs[:, 0] @ Jv - Js @ V[:, 0])
        coarse = inner_eps(problem)
        size = float(rows.norm())
        if abs(gap) > (max(COARSE, 16 * coarse) if coarse else TOLERANCE) * size + dust:
            return _line("H is not symmetric", abs(gap) / (size or 1.0), self._asymmetric(free, V, HV, dust))
        if coarse:
            return None
        if abs(across) > TOLERANCE * float(Jv.norm()) + DUST * float((Js * free).norm()) + TINY:
            return _line("the products with J and J' are not each other's transposes", abs(across), ())
        return self._against_differences(here, V[:, 0], HV[:, 0], Jv, free, dust, (g.abs() + terms.abs()) * free)

    def _against_differences(
        self, here: Point, v: Tensor, Hv: Tensor, Jv: Tensor, free: Tensor, dust: float, terms: Tensor
    ) -> str | None:
        """Return words for what differences along v contradict: the gradient g, the product Hv or Jv; else None."""
        losses, slopes, outputs, g = [], [], [], here[1]
        L, _, f = map(torch.linalg.vector_norm, here)  # ulps of these are in the differences
        for step in STEPS:
            after, before = self.road.at(self.problem.theta + step * v), self.road.at(self.problem.theta - step * v)
            dL, dg, df = ((a - b) / (2 * step) for a, b in zip(after, before, strict=True))
            losses.append((dL - g @ v)[None])
            slopes.append((dg - Hv) * free)
            outputs.append(df - Jv)
        share = _wrong(losses, float((g * free).norm()), dust, float(L))
        if share:
            names = [name for name, part in self.problem.space.slices.items() if self._bends_apart(g, v, part, dust)]
            return _line("the gradient is not that of the loss", share, names)
        parts = self.problem.space.slices
        found = {
            name: _wrong([d[part] for d in slopes], float((Hv * free)[part].norm()), dust, float(terms[part].norm()))
            for name, part in parts.items()
        }
        if any(found.values()):
            return _line("H is not the derivative of the gradient", max(found.values()), [n for n in found if found[n]])
        share = _wrong(outputs, float(Jv.norm()), DUST * float(Jv.norm() + f), float(f))
        return _line("J is not the derivative of the outputs", share, ()) if share else None

    def _bends_apart(self, g: Tensor, v: Tensor, part: slice, dust: float) -> bool:
        """Return True where the loss along one tensor alone changes by something else than its gradient."""
        alone = torch.zeros_like(v)
        alone[part] = v[part]
        gaps = []
        for step in STEPS:
            after, before = (self.road.at(self.problem.theta + sign * step * alone)[0] for sign in (1, -1))
            gaps.append(((after - before) / (2 * step) - g @ alone)[None])
        return bool(
            _wrong(gaps, float((g * self.sizes)[part].norm()), dust, float(self.road.at(self.problem.theta)[0].abs()))
        )

    def _asymmetric(self, free: Tensor, V: Tensor, HV: Tensor, dust: float) -> list[str]:
        """Return the names of those first 64 tensors in whose rows u'Hv and v'Hu differ; takes a product each."""
        slices = dict(list(self.problem.space.slices.items())[:64])
        names = []
        for name, part in slices.items():
            alone = torch.zeros_like(V[:, :1])
            alone[part] = V[part, 1:]
            turned = self.road.hessian(alone)[:, 0]
            gap = float(alone[:, 0] @ HV[:, 0] - V[:, 0] @ turned)
            if abs(gap) > TOLERANCE * float((turned * free).norm()) + dust:
                names.append(name)
        return names


def _wrong(gaps: Sequence[Tensor], size: float, dust: float, whole: float) -> float:
    """Return the share of `size` by which all differences miss, where the last two gaps agree; else 0.

    `whole` is the size of the numbers that were subtracted: each difference holds some of their ulps.
    """
    sizes = [float(gap.norm()) for gap in gaps]
    bound = TOLERANCE * max(size, *sizes) + dust
    ulps = ULPS * torch.finfo(torch.float64).eps * whole
    if not all(bound + ulps / step < s < float("inf") for s, step in zip(sizes, STEPS, strict=True)):
        return 0.0
    alike = float((gaps[-1] - gaps[-2]).norm()) <= ALIKE * max(sizes[-2:])
    return sizes[-1] / max(size, sizes[-1]) if alike else 0.0


def _line(what: str, share: float, names: Sequence[str]) -> str:
    """Return the message: what is wrong, by how much, in which parameters, and what to do."""
    listed = ", ".join(map(repr, names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    rows = f", in the rows of {listed}" if names else ""
    return (
        f"{what}: off by {share:.1e}{rows}, by products against differences at {len(STEPS)} step sizes; the model or "
        f"loss has a backward of its own that is not its derivative (autograd.Function, hook, detach), or an operation "
        f"that torch differentiates wrongly: write it in plain operations, or hold these parameters fixed by "
        f"requires_grad_(False)"
    )
