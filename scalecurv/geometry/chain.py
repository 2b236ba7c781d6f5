"""The chain of bounds at an interpolation solution, link by link, with a verdict on each link and on the chain."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from scalecurv.geometry.bounds import Interval

ROUNDING = 1e-9  # relative to the larger side: equality is attained, and rounding must not read as a violation
SEPARATOR = ": "  # in the method of a link, between its formula and its verdict


class Verdict(StrEnum):
    """The verdict on one link, or on the whole chain, from the intervals of its numbers."""

    HOLDS = "holds"  # at all values inside the intervals
    VIOLATED = "violated"  # at none
    UNDECIDED = "undecided"  # the intervals are too wide to tell
    NOT_APPLICABLE = "not_applicable"  # the chain bounds nothing here


@dataclass(frozen=True)
class Link:
    """One bound of the chain: its formula, its value and interval, and the verdict on its place in the chain."""

    formula: str
    value: float
    lower: float
    upper: float
    verdict: Verdict

    @property
    def method(self) -> str:
        """The formula and the verdict, as an estimate's method holds them; `stored_verdict` reads it."""
        return f"{self.formula}{SEPARATOR}{self.verdict}"


def stored_verdict(method: str) -> Verdict:
    """Return the verdict in the method of a stored link, NOT_APPLICABLE where the method is a reason instead."""
    last = method.rpartition(SEPARATOR)[2]
    return Verdict(last) if last in tuple(Verdict) else Verdict.NOT_APPLICABLE


def chain_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a chain from those on its links, of which there is at least one.

    It is the first of NOT_APPLICABLE, VIOLATED and UNDECIDED that any link has, else HOLDS.
    """
    found = set(verdicts)
    return next((v for v in (Verdict.NOT_APPLICABLE, Verdict.VIOLATED, Verdict.UNDECIDED) if v in found), Verdict.HOLDS)


@dataclass(frozen=True)
class _Point:
    """T, F, lambda and r, the four numbers from which every link is computed."""

    T: float
    F: float
    lam: float
    r: float


LINKS: tuple[tuple[str, Callable[[_Point], float]], ...] = (
    ("T (T - lambda)", lambda p: p.T * (p.T - p.lam)),
    (
        "T^2 - lambda^2 - (T - lambda)^2 / (r - 1)",
        lambda p: p.T**2 - p.lam**2 - (p.T - p.lam) ** 2 / (p.r - 1) if p.r > 1 else 0.0,
    ),
    ("(1 - 1/r) T^2", lambda p: (1 - 1 / p.r) * p.T**2 if p.r > 1 else 0.0),
    ("(r - 1) F", lambda p: max(p.r - 1, 0) * p.F),
    ("(r - 1) lambda T", lambda p: max(p.r - 1, 0) * p.lam * p.T),
    ("r (r - 1) lambda^2", lambda p: p.r * max(p.r - 1, 0) * p.lam**2),
)
# each step up the chain, without the terms that both sides share; K stands between links 1 and 2
_STEPS: tuple[tuple[Callable[[_Point], float], ...], ...] = (
    (lambda p: p.T * (p.T - p.lam), lambda p: p.lam * p.T - p.F),  # 0 <= link 1 <= K
    (lambda p: p.F - p.lam**2 - (p.T - p.lam) ** 2 / (p.r - 1) if p.r > 1 else p.F - p.T**2,),  # K <= link 2
    (lambda p: (p.r * p.lam - p.T) ** 2 / (p.r * (p.r - 1)) if p.r > 1 else 0.0,),
    (lambda p: (p.r - 1) * (p.F - p.T**2 / p.r) if p.r > 1 else 0.0,),
    (lambda p: max(p.r - 1, 0) * (p.lam * p.T - p.F),),
    (lambda p: max(p.r - 1, 0) * p.lam * (p.r * p.lam - p.T),),
)


def _within(interval: Interval, inside: list[float]) -> set[float]:
    """Return both ends of an interval, and the turning points of quadratics in `inside` that lie between them."""
    return {*interval, *(x for x in inside if interval[0] < x < interval[1])}


def chain(trace: Interval, trace_h2: Interval, lambda_max: Interval, rank: Interval) -> tuple[Link, ...]:
    """Return the links of the chain of bounds on K = T^2 - F, with T = tr H, F = tr H^2, l = lambda_max and r = rank.

        0 <= T(T-l) <= K <= T^2-l^2-(T-l)^2/(r-1) <= (1-1/r)T^2 <= (r-1)F <= (r-1)lT <= r(r-1)l^2

    It holds at g = 0 for H positive semidefinite of rank r with largest eigenvalue l (the proof of theorem 4.1 of
    Gegenfurtner, "Flatness Has a Shape", whose printed form drops a factor: see docs/quantities.md). Each number comes
    as an interval that holds it. A link holds where it does at every corner of the intervals, is violated where it
    holds at none, and is undecided otherwise. For r <= 1 every link above K is 0.
    """
    traces = _within(trace, [0.0, *lambda_max, *(lam / 2 for lam in lambda_max)])
    tops = _within(
        lambda_max, [0.0, *(T / r for T in trace for r in rank if r), *(T / (2 * r) for T in trace for r in rank if r)]
    )
    corners = [_Point(*corner) for corner in product(traces, set(trace_h2), tops, set(rank))]
    middle = _Point(sum(trace) / 2, sum(trace_h2) / 2, sum(lambda_max) / 2, rank[0])
    links = []
    for (formula, value), parts in zip(LINKS, _STEPS, strict=True):
        values = [value(corner) for corner in corners]
        slack = ROUNDING * max(middle.T**2, middle.F, *map(abs, values))
        steps = [[part(corner) for corner in corners] for part in parts]
        least, most = min(map(min, steps)), min(map(max, steps))
        verdict = Verdict.HOLDS if least >= -slack else Verdict.VIOLATED if most < -slack else Verdict.UNDECIDED
        links.append(Link(formula, value(middle), min(values), max(values), verdict))
    return tuple(links)
