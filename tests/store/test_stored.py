"""What a store holds under a key, and which requests it meets: nobody gets less than was asked, nothing is redone."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from scalecurv.quantities import QUANTITIES
from scalecurv.record import Asked, Record, Stored
from scalecurv.statistics.estimate import NAN, Estimate, Status
from scalecurv.store.compact import compact
from scalecurv.store.frames import concatenated
from scalecurv.store.reader import Contents, read_store
from scalecurv.store.rows import rows_of
from scalecurv.store.schema import TABLES
from scalecurv.store.unique import UNIQUE
from tests.loops import each
from tests.outcomes import outcome, sampled, store_of

USUAL = Asked(0.01, 1000, 1 << 30)
EXACT, NOTHING = Estimate.exact(-2.0, "sum"), Estimate.not_applicable("no MLP")


def spent(value: float, halfwidth: float, terms: int = 64) -> Estimate:
    return replace(sampled(value, halfwidth, Status.BUDGET), num_samples=terms)


def bound(value: float, status: Status, upper: float = math.inf) -> Estimate:
    return Estimate.enclosed(value, value, upper, "by hand", status)


def contents(*records: Record) -> Contents:
    """What is read of a store that these records were written to one after the other, the last one twice."""
    parts = [rows_of(outcome("a.pt", record, created=float(i))) for i, record in enumerate((*records, *records[-1:]))]
    return Contents({name: UNIQUE[name](concatenated([p[name] for p in parts], name)) for name in TABLES}, {})


def record(
    estimates: Mapping[str, Estimate] | Mapping[tuple[str, str], Estimate],
    asked: Asked = USUAL,
    measure: str = "moments",
    arrays: Iterable[str] = (),
) -> Record:
    named = {name if isinstance(name, tuple) else (name, ""): e for name, e in estimates.items()}
    return Record("k", measure, named, {name: np.ones(3) for name in arrays}, asked=asked)


def width(*records: Record) -> float:
    return contents(*records).stored["k"].width


@each(
    ("estimates", "expected"),
    [
        ({"trace": EXACT, "trace_h2": NOTHING}, 0.0),
        ({"trace": EXACT, "trace_h2": sampled(-10, 0.05)}, 0.005),
        ({"trace": sampled(10, 0.1), "trace_h2": sampled(10, 0.3, Status.CERTIFIED)}, 0.01),  # absolute tolerance
        ({"trace": sampled(0, 0.3)}, 0.01),
        ({"trace": sampled(0, 0)}, 0.01),
        ({"trace": spent(10, 2)}, 0.2),
        ({"trace": spent(10, 2, terms=31)}, math.inf),  # too few terms for such an interval
        ({"trace": replace(spent(10, 2, terms=4), stderr=NAN)}, 0.2),  # a proven one
        ({"trace": spent(0, 2)}, math.inf),
        ({"trace": spent(0, 0)}, math.inf),
        ({"trace": spent(10, math.inf)}, math.inf),
        ({"trace_rescaled": Estimate.enclosed(NAN, 0, math.inf, "too many outputs", Status.BUDGET)}, math.inf),
        ({"rank": bound(5, Status.LOWER_BOUND, 7), "rank_1e2": EXACT}, math.inf),
        ({"lambda_max_ggn": sampled(5, 0.01, Status.INCONSISTENT)}, math.inf),
        ({"curvature_lower": bound(5, Status.BUDGET, 5), "scalar_curvature": EXACT}, math.inf),
        ({"curvature_lower": bound(5, Status.CERTIFIED, 5), "scalar_curvature": EXACT}, 0.0),
        ({"effective_rank": spent(5, 1), "scalar_curvature": EXACT}, 0.2),  # derived, and not sharp
    ],
)  # fmt: skip
def test_the_width_is_that_of_the_widest_interval(estimates: Mapping[str, Estimate], expected: float) -> None:
    np.testing.assert_allclose(width(record(estimates)), expected, rtol=1e-12)


def test_every_quantity_counts() -> None:
    every = [
        replace(record({q.name: spent(10, 3) if q is wide else EXACT for q in QUANTITIES}), key=wide.name)
        for wide in QUANTITIES
    ]
    tables = {name: UNIQUE[name](table) for name, table in rows_of(outcome("a.pt", *every)).items()}
    assert {held.width for held in Contents(tables, {}).stored.values()} == {0.3}


def test_layers_beside_the_whole_have_no_tolerance_of_their_own() -> None:
    layers = {("trace", "fc1"): spent(1, 1), ("trace", "fc10"): bound(0, Status.LOWER_BOUND)}
    assert width(record({("trace", ""): EXACT, **layers})) == 0.0
    assert width(record({("trace_h2", ""): EXACT, **layers})) == math.inf  # of this quantity there is no whole
    short = {("trace", "a"): EXACT, ("trace", "abc"): spent(1, 0.5)}
    assert width(record(short)) == 0.5
    assert width(record({("rank", "softmax"): spent(10, 2)}, measure="rank")) == 0.2
    block = "params=fc weight$"
    whole = {("trace", block): spent(10, 1), ("trace", f"{block} fc1"): spent(1, 1)}
    assert width(record(whole, measure=f"moments {block}")) == 0.1


def test_arrays_alone_are_as_sharp_as_they_were_asked() -> None:
    held = contents(record({}, Asked(0, 100, 5), "spectrum", ["ritz_nodes"])).stored["k"]
    assert held == Stored((Asked(0, 100, 5),), math.inf)
    assert (held.meets(Asked(0, 100, 5)), held.meets(Asked(0, 50, 5)), held.meets(Asked(0, 101, 5))) == (
        True,
        True,
        False,
    )
    assert width(record({"trace": EXACT}, arrays=["singular_values"])) == 0.0


@each(
    ("asked", "met"),
    [
        (USUAL, True),
        (Asked(0.5, 1000, 1 << 30), True),  # looser
        (Asked(0.01, 100, 1 << 30), True),  # fewer products
        (Asked(0.01, 1000, 1 << 20), True),  # less memory
        (Asked(0.009, 1000, 1 << 30), False),
        (Asked(0.01, 1001, 1 << 30), False),
        (Asked(0.01, 1000, (1 << 30) + 1), False),
        (Asked(0.03, 2000, 1 << 31), True),  # the interval is narrow enough
        (Asked(0.019, 2000, 1 << 30), False),
    ],
)
def test_a_spent_budget_is_worth_another_try_with_more(asked: Asked, met: bool) -> None:
    assert contents(record({"trace": spent(10, 0.2)})).stored["k"].meets(asked) is met


def test_what_is_exact_meets_every_request_and_a_bound_only_what_was_asked() -> None:
    sharper = Asked(0.0, 10**6, 1 << 40)
    assert contents(record({"trace": EXACT})).stored["k"].meets(sharper)
    assert not contents(record({"rank": bound(5, Status.LOWER_BOUND)})).stored["k"].meets(sharper)
    assert contents(record({"rank": bound(5, Status.LOWER_BOUND)})).stored["k"].meets(USUAL)


def test_every_time_counts_in_any_order_whichever_row_is_shown() -> None:
    """A request of fewer products and a smaller tolerance is done once, though the row of more products is shown."""
    coarse = record({"trace": sampled(10, 0.08)}, Asked(0.01, 1000, 5))
    cheap = record({"trace": spent(10, 3)}, Asked(0.001, 50, 5))
    for records in ((coarse, cheap), (cheap, coarse)):
        held = contents(*records).stored["k"]
        assert set(held.asked) == {coarse.asked, cheap.asked}
        assert 0.0079 < held.width < 0.0081
        assert held.meets(coarse.asked)
        assert held.meets(cheap.asked)
        assert not held.meets(Asked(0.001, 1000, 5))  # which neither was


def test_a_failed_time_does_not_count() -> None:
    failed = {"trace": EXACT, "trace_h2": Estimate.failed("overflow")}
    assert contents(record(failed)).stored == {}
    sharper = Asked(0.001, 2000, 1 << 30)
    held = contents(record({"trace": EXACT, "trace_h2": sampled(1, 0.01)}), record(failed, sharper)).stored["k"]
    assert held.asked == (USUAL,)
    assert not held.meets(sharper)
    assert contents(record(failed), record({"trace": EXACT, "trace_h2": EXACT})).stored["k"].meets(sharper)


def test_a_merged_store_remembers_every_time(tmp_path) -> None:
    records = [record({"trace": spent(10, i)}, Asked(0.1 / i, 100 * i, 7), arrays=["a"]) for i in (1, 2, 3)]
    store = store_of(tmp_path, *(outcome("a.pt", one) for one in records))
    before = read_store(store).stored
    assert set(before["k"].asked) == {one.asked for one in records}
    compact(store)
    assert read_store(store).stored == before
    assert len(read_store(store).tables["arrays"]) == 3
