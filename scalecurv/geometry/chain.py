"""The chain of bounds at an interpolation solution, link by link: does it hold, is it violated, is it undecided?"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

from scalecurv.geometry.bounds import Interval

Verdict = Literal["holds", "violated", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("holds", "violated", "undecided")
ROUNDING = 1e-9  # of the larger side: equality is attained, and must not read as a violation


@dataclass(frozen=True)
class Link:
    """One bound of the chain: its formula, its value and interval, and whether it stands where it should."""

    formula: str
    value: float
    lower: float
    upper: float
    verdict: Verdict


@dataclass(frozen=True)
class _Point:
    """T, F, lambda and r, the four numbers that every link is made of."""

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
# what each step up the chain is, with the terms that both sides share cancelled; K stands between links 1 and 2
_STEPS: tuple[tuple[Callable[[_Point], float], ...], ...] = (
    (lambda p: p.T * (p.T - p.lam), lambda p: p.lam * p.T - p.F),  # 0 <= link 1 <= K
    (lambda p: p.F - p.lam**2 - (p.T - p.lam) ** 2 / (p.r - 1) if p.r > 1 else p.F - p.T**2,),  # K <= link 2
    (lambda p: (p.r * p.lam - p.T) ** 2 / (p.r * (p.r - 1)) if p.r > 1 else 0.0,),
    (lambda p: (p.r - 1) * (p.F - p.T**2 / p.r) if p.r > 1 else 0.0,),
    (lambda p: max(p.r - 1, 0) * (p.lam * p.T - p.F),),
    (lambda p: max(p.r - 1, 0) * p.lam * (p.r * p.lam - p.T),),
)


def _within(interval: Interval, inside: list[float]) -> set[float]:
    """Both ends, and what of the points `inside` lies between: where a quadratic turns."""
    return {*interval, *(x for x in inside if interval[0] < x < interval[1])}


def chain(trace: Interval, trace_h2: Interval, lambda_max: Interval, rank: Interval) -> tuple[Link, ...]:
    """0 <= T(T-l) <= K <= T^2-l^2-(T-l)^2/(r-1) <= (1-1/r)T^2 <= (r-1)F <= (r-1)lT <= r(r-1)l^2, K = T^2 - F.

    Holds at g = 0 for H positive semidefinite of rank r with largest eigenvalue l (the proof of theorem 4.1 of
    Gegenfurtner, "Flatness Has a Shape", whose printed form drops a factor: see docs/quantities.md). Each number
    comes as an interval that holds it; a link `holds` where it does so at every corner of them, is `violated`
    where it does so at none, and `undecided` otherwise. For r <= 1 every link on the side of K is 0.
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
        verdict: Verdict = "holds" if least >= -slack else "violated" if most < -slack else "undecided"
        links.append(Link(formula, value(middle), min(values), max(values), verdict))
    return tuple(links)


def chain_status(verdicts: tuple[str, ...]) -> Verdict:
    """Of the whole chain: `violated` if any link is, `holds` if all do, else `undecided`."""
    if "violated" in verdicts:
        return "violated"
    return "holds" if all(verdict == "holds" for verdict in verdicts) else "undecided"
