"""Intervals of expressions against dense samples of the boxes of their quantities."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.plot.expressions import numbers
from scalecurv.plot.selection import select
from scalecurv.plot.sql import _connection
from tests.plot.frames import boxed, frame

SAMPLES = 4000
# SQL, the same in Python, and by how much the interval may be longer than the range
EXPRESSIONS = (
    ("lambda_max*lr/2", "L * lr / 2", 1.0),
    ("+lambda_max", "L", 1.0),
    ("-lambda_max - 3", "-L - 3", 1.0),
    ("trace - lambda_max", "T - L", 1.0),
    ("trace * lambda_max", "T * L", 1.0),
    ("lambda_max / trace", "L / T", 1.0),
    ("abs(lambda_max)", "np.abs(L)", 1.0),
    ("power(lambda_max - 5, 2)", "(L - 5) ** 2", 1.0),
    ("lambda_max ** 3", "L ** 3", 1.0),
    ("1 / trace", "1 / T", 1.0),
    ("trace ** -2", "T ** -2.0", 1.0),
    ("sqrt(trace) + exp(-trace)", "np.sqrt(T) + np.exp(-T)", 1.3),
    ("log2(trace) * ln(2) + log(trace)", "np.log(T) + np.log10(T)", 1.3),
    ("greatest(lambda_max, trace, 1)", "np.maximum(np.maximum(L, T), 1)", 1.0),
    ("least(lambda_max, trace)", "np.minimum(L, T)", 1.0),
    ("trace * coalesce(lr, 7)::double", "T * lr", 1.0),
    ("LAMBDA_MAX + results.trace", "L + T", 1.0),
    ("(lambda_max-5)*(lambda_max-5)", "(L - 5) ** 2", 1.1),  # not monotone: corners alone would leave 0 out
    ("lambda_max * lambda_max - 2 * lambda_max", "L * L - 2 * L", 1.6),
    ("trace / (trace + 3)", "T / (T + 3)", 1.2),
    ("(trace + lambda_max) * (trace - lambda_max)", "(T + L) * (T - L)", 1.2),
)


def samples(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Points of the box of each row: at random, at all corners, and along the edges."""
    rng = np.random.default_rng(1)
    points = {}
    for letter, name in (("L", "lambda_max"), ("T", "trace")):
        points[letter] = rng.uniform(rows[f"{name}_lower"], rows[f"{name}_upper"], (SAMPLES, len(rows)))
    for corner, (a, b) in enumerate((x, y) for x in ("lower", "upper") for y in ("lower", "upper")):
        points["L"][corner], points["T"][corner] = rows[f"lambda_max_{a}"], rows[f"trace_{b}"]
    share = np.linspace(0, 1, 501)[:, None]
    for start, end in (("lower", "lower"), ("upper", "upper")):
        along = rows["lambda_max_lower"].to_numpy() * (1 - share) + rows["lambda_max_upper"].to_numpy() * share
        other = np.broadcast_to(rows[f"trace_{start if start == end else end}"].to_numpy(), along.shape)
        points["L"], points["T"] = np.concatenate([points["L"], along]), np.concatenate([points["T"], other])
    return points


def test_every_interval_holds_the_values_inside_and_is_not_much_longer() -> None:
    rows = boxed()
    points = samples(rows)
    for sql, python, excess in EXPRESSIONS:
        found = numbers(select(rows), sql)
        value = eval(python, {"np": np, "lr": rows["lr"].to_numpy(), **points})
        slack = 1e-9 * (1 + np.abs(value).max(axis=0))
        assert (found.lower <= value.min(axis=0) + slack).all(), sql
        assert (found.upper >= value.max(axis=0) - slack).all(), sql
        longer = (found.upper - found.lower) / (value.max(axis=0) - value.min(axis=0))
        assert np.median(longer) <= excess + 0.02, (sql, np.median(longer))
        assert not found.note


def test_the_value_is_that_of_duckdb_and_lies_inside() -> None:
    rows = boxed()
    for sql, _, _ in EXPRESSIONS:
        found = numbers(select(rows), sql)
        assert (found.lower <= found.value).all(), sql
        assert (found.value <= found.upper).all(), sql
    product = numbers(select(rows), "lambda_max*lr/2")
    np.testing.assert_allclose(product.value, rows["lambda_max"] * rows["lr"] / 2, rtol=1e-15)


def test_a_division_by_what_may_be_zero_is_open() -> None:
    rows = frame([0, 1, 2], lambda_max=([1.0, 1.0, -1.0], [-1.0, 0.0, -2.0], [2.0, 2.0, 0.0]))
    found = numbers(select(rows), "3 / lambda_max")
    assert found.lower.tolist() == [-np.inf, 1.5, -np.inf]
    assert found.upper.tolist() == [np.inf, np.inf, -1.5]


def test_open_ends_of_a_quantity_are_open_ends_of_the_expression() -> None:
    rows = frame([0, 1], rank=([4, 6], [4, 6], [4, None]), trace=([1.0, 2.0], [1.0, -np.inf], [1.0, np.inf]))
    assert numbers(select(rows), "2 * rank").upper.tolist() == [8, np.inf]
    assert numbers(select(rows), "rank").upper.tolist() == [4, np.inf]
    both = numbers(select(rows), "trace * trace")
    assert (both.lower[1], both.upper[1]) == (-np.inf, np.inf)  # never too short
    assert (both.lower[0], both.upper[0]) == (1, 1)


def test_what_has_no_known_range_has_no_interval_and_says_so() -> None:
    rows = boxed()
    for sql in (
        "sin(trace)",
        "trace - lag(trace) over (order by step)",
        "case when trace > 1 then trace end",
        "trace % 2",
    ):
        found = numbers(select(rows), sql)
        assert np.isnan(found.lower).all(), sql
        assert np.isnan(found.upper).all()
        assert found.note == f"no interval for {sql}: a function in it has no known range"


def test_attributes_are_exact_and_missing_numbers_stay_missing() -> None:
    rows = boxed(5)
    rows.loc[2, ["trace", "trace_lower", "trace_upper"]] = np.nan
    assert np.isnan(numbers(select(rows), "lr * 2").lower).all()
    found = numbers(select(rows), "trace * lr")
    assert np.flatnonzero(np.isnan(found.value)).tolist() == [2]
    assert np.flatnonzero(np.isnan(found.lower)).tolist() == [2]


def test_the_least_sure_status_is_shown() -> None:
    rows = boxed(3).assign(trace_status=["exact", "budget", "converged"], lambda_max_status="certified")
    assert numbers(select(rows), "trace + lambda_max").status.tolist() == ["certified", "budget", "converged"]
    assert numbers(select(rows), "trace").status.tolist() == ["exact", "budget", "converged"]


def test_an_axis_is_named_by_symbols_or_by_the_words_after_as() -> None:
    rows = select(boxed())
    assert numbers(rows, "lambda_max").axis == r"$\lambda_{\max}$"
    assert numbers(rows, "lambda_max*lr / 2").axis == r"$\lambda_{\max}$ · lr / 2"
    named = numbers(rows, 'cast(lambda_max as double) * lr as "sharpness $x$"')
    assert named.axis == "sharpness $x$"
    np.testing.assert_allclose(named.upper, numbers(rows, "lambda_max * lr").upper)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("lamda_max", "the frame has no quantity or attribute 'lamda_max'; near it are lambda_max"),
        ("zzz", "the frame has no quantity or attribute 'zzz'; quantities are lambda_max, trace"),
        ("trace * foo", "the frame has no quantity or attribute 'foo'; quantities are lambda_max, trace"),
        ("trace *", "the expression 'trace *' does not run: syntax error at or near \"from\""),
        ("trace, lr", "the expression 'trace, lr' is not one expression; give one at a time"),
        ("(select content from read_text('/etc/passwd'))", 'the expression "(select content from read_text('),
        (
            "trace * (select max(trace) from results)",
            "the expression 'trace * (select max(trace) from results)' holds ",
        ),
        ("unnest([trace, lr])", "the expression 'unnest([trace, lr])' has 80 values for 40 row(s); give one for each"),
        (
            "+".join(["trace"] * 200),
            "the expression trace+trace+trace+trace+trace+trace+trac... is too long: 1,199 ",
        ),
        (
            "+".join(["trace"] * 900),
            "the expression trace+trace+trace+trace+trace+trace+trac... is too long: 5,399 ",
        ),
        ("columns(*)", "the expression 'columns(*)' means several columns; give one at a time"),
        ("trace; drop table results", "the expression 'trace; drop table results' does not run: "),
        ("dtype", "'dtype' holds 'float32', no number; draw a quantity or an expression"),
        ("trace || 'a'", "\"trace || 'a'\" holds "),
        ("max(trace)", "the expression 'max(trace)' does not run: Binder Error: column "),
        ("trace - null", "'trace - null' has no finite value in any row"),
        ("sharpness_mean", "the frame holds no value of sharpness_mean for a whole model; `scalecurv analyze CHECK"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(asked: str, said: str) -> None:
    with pytest.raises(Misuse) as caught:
        numbers(select(boxed()), asked)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_no_expression_reads_a_file() -> None:
    with _connection() as connection, pytest.raises(duckdb.PermissionException, match="disabled by configuration"):
        connection.sql("select content from read_text('/etc/hostname')")
    rows = boxed(5)
    assert numbers(select(rows, "step = max(step) over (partition by run)"), "trace").value.tolist() == [
        rows["trace"].iloc[-1]
    ]
