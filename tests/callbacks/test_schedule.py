"""When a step is measured: multiples of `every`, within the share of time, and never what a number is."""

import logging

import pytest

from scalecurv.callbacks import monitor as module
from scalecurv.callbacks.budget import Budget
from tests.callbacks.loops import monitor, plain


class Clock:
    """A clock of steps and measurements of known seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("cost", [0.3, 2.0])
def test_the_share_is_kept_and_used(share: float, cost: float) -> None:
    clock, spent, measured = Clock(), 0.0, 0
    budget = Budget(share, clock)
    for _ in range(20_000):
        clock.now += 0.1
        if budget.allows():
            with budget:
                clock.now += cost
            spent, measured = spent + cost, measured + 1
            if measured > 1:
                assert spent <= share * (clock.now - 0.1) * (1 + 1e-9)
    assert budget.spent == pytest.approx(spent)
    assert spent >= share * clock.now * 0.97 - cost  # no more is skipped than has to be


def test_a_measurement_that_grows_is_made_up_for() -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    assert budget.allows()
    for cost in (1.0, 5.0):
        with budget:
            clock.now += cost
    clock.now = 109.9  # 6 s spent and 5 s more would be 11 of 114.9
    assert budget.allows()
    clock.now = 104.9
    assert not budget.allows()


def test_no_budget_measures_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for share, expected in ((None, [0, 1, 2, 3, 4]), (0.5, [0, 4])):
        watch, model = monitor(every=1, budget=share), plain()
        watch._budget = Budget(share, clock)
        original = module.measured

        def slow(point: object, request: object, original: object = original) -> object:
            clock.now += 2.0
            return original(point, request)  # type: ignore[operator]

        with monkeypatch.context() as patch:
            patch.setattr(module, "measured", slow)
            found = []
            for step in range(5):
                found += [step] if watch(model, step) else []
                clock.now += 1.0
        assert found == expected
        assert watch.skipped == 5 - len(expected)


def test_skipped_steps_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    watch, model = monitor(every=1, budget=1e-9), plain()
    with caplog.at_level(logging.WARNING):
        assert [watch(model, step) is not None for step in range(4)] == [True, False, False, False]
    assert [record.getMessage() for record in caplog.records] == [
        "step 1 is not measured: with it, measurements would take more than budget=1e-09 of the time; later steps are "
        "measured once they do not, and monitor.skipped counts"
    ]
    assert "steps=1 measured, 3 skipped, 0 failed" in repr(watch)
    assert "of at most 1e-09 of the time" in watch._repr_html_()


def test_time_never_decides_a_number() -> None:
    """Two monitors that measure at different steps agree where both do."""
    model = plain()
    often, seldom = monitor(every=1), monitor(every=3)
    numbers = [(often(model, step), seldom(model, step)) for step in range(4)]
    assert [one is not None for one, _ in numbers] == [True] * 4
    assert [other is not None for _, other in numbers] == [True, False, False, True]
    assert numbers[3][0] == numbers[3][1]


STEPS = {
    "every call": (range(7), [0, 3, 6]),
    "from 1": (range(1, 8), [3, 6]),
    "two at a time": (range(0, 12, 2), [0, 4, 6, 10]),
    "accumulated": ([0, 0, 0, 3, 3, 4], [0, 3]),
    "begun again": ([3, 4, 0, 1, 3], [3, 0, 3]),
    "resumed": ([7, 8, 9], [9]),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_due_when_a_multiple_has_come(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, expected = STEPS[name]
    watch = monitor(every=3)
    assert [step for step in steps if watch._due(step)] == expected
