"""Products are told while they are taken, none is missed, none is waited for, and no number depends on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

import scalecurv as sc
from scalecurv.analysis import Identity, Request, records_of
from scalecurv.measures import measures_named
from scalecurv.measures.evaluation import run_here
from scalecurv.measures.meter import BURST, RATE, Meter, expected_products
from scalecurv.quantities import BUILT_IN
from scalecurv.record import Stage
from tests.networks import problem

WHO = Identity("fingerprint", "task", "float32")


class Clock:
    """Time that passes by `step` at each look."""

    def __init__(self, step: float):
        self.now, self.step = -step, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def metered(step: float) -> tuple[Meter, list[Stage]]:
    told: list[Stage] = []
    return Meter("a.pt", told.append, clock=Clock(step)), told


def test_each_product_is_counted_at_its_measure() -> None:
    meter, told = metered(1.0)
    meter.begin("moments", 100)
    for count in (1, 16, 83):
        meter.products(count)
    meter.begin("rank", 0)
    meter.products(7)
    assert [(s.measure, s.products, s.expected, s.taken) for s in told] == [
        ("moments", 0, 100, 0),
        ("moments", 1, 100, 1),
        ("moments", 17, 100, 17),
        ("moments", 100, 100, 100),
        ("rank", 0, 0, 100),
        ("rank", 7, 0, 107),
    ]
    assert [s.seconds for s in told] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert [s.measure_seconds for s in told] == [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]


def test_few_stages_are_told_however_many_products_there_are() -> None:
    """100 s of products of 1 ms each: RATE a second, and a few more at the beginning."""
    meter, told = metered(1e-3)
    meter.begin("moments", 10**6)
    for _ in range(100_000):
        meter.products(1)
    assert 0.95 * 100 * RATE <= len(told) <= 100 * RATE + BURST


def test_each_measure_of_a_fast_checkpoint_is_told() -> None:
    meter, told = metered(1e-4)
    for measure in range(20):
        meter.begin(str(measure), 0)
    assert [s.measure for s in told] == [str(measure) for measure in range(int(BURST))]


@pytest.mark.parametrize("route", [None, "generic"])
def test_numbers_are_the_same_and_all_products_are_told(route: str | None) -> None:
    measures = measures_named(BUILT_IN, route=route, max_matvecs=60, radius=0.1, sigma=0.1, sgd_batches=(2,))
    request = Request(measures)
    silent, silent_total = records_of(problem("relu"), request, WHO)
    meter, told = metered(1.0)

    def here(*given, **named):  # type: ignore[no-untyped-def]
        return run_here(*given, hear=meter.products)

    heard, heard_total = records_of(problem("relu"), request, WHO, run_terms=here, meter=meter)
    assert [repr(record.estimates) for record in heard] == [repr(record.estimates) for record in silent]
    assert heard_total == silent_total == told[-1].taken + _since(told[-1], heard_total)
    assert list(dict.fromkeys(s.measure for s in told))[:3] == ["gradient", "extremes", "moments"]


def _since(last: Stage, total: int) -> int:
    """Return the products after the last stage, which the meter may keep for itself: less than it took before."""
    assert 0 <= total - last.taken <= 0.05 * total
    return total - last.taken


def test_no_measure_takes_more_than_expected() -> None:
    for name in ("relu", "tanh"):
        for options in ({}, {"route": "generic"}, {"max_matvecs": 24}):
            measures = measures_named(BUILT_IN[:6], **options)  # type: ignore[arg-type]
            at = problem(name)
            meter, told = metered(1.0)
            records_of(at, Request(measures), WHO, run_terms=_here(meter), meter=meter)
            over = {(s.measure, s.products, s.expected) for s in told if s.products > s.expected > 0}
            assert over == set()


def _here(meter: Meter) -> Callable[..., list]:  # type: ignore[type-arg]
    return lambda *given: run_here(*given, hear=meter.products)


def test_what_measures_share_is_expected_once() -> None:
    at = problem("relu")
    measures = measures_named(("gradient", "extremes", "moments"), route="generic")
    alone = [expected_products([measure], at)[0] for measure in measures]
    together = expected_products(measures, at)
    assert sum(together) == max(alone) < sum(alone)
    assert together[0] == alone[0] == 8


def test_a_cost_that_is_not_known_is_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(measure: object, at: object) -> None:
        raise sc.Misuse("not here")

    monkeypatch.setattr("scalecurv.measures.meter.cost_at", unknown)
    assert expected_products(measures_named(("gradient", "moments")), problem("relu")) == [0, 0]
