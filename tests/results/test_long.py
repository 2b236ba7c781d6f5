"""The tidy view, the quantities of a store, and how a store shows itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.quantities import QUANTITIES, Quantity
from scalecurv.results.query import Store, open_store
from scalecurv.results.tables import NAMES
from scalecurv.store.writer import write_part
from tests.outcomes import FAILED, exactly, failure, outcome, record, sampled, store_of

MINE = Quantity("mine", "what I count", integer=True, derived=True, unit="loss")
A = outcome(
    "/runs/a/step_10.pt",
    record("k1", {("trace", ""): sampled(12.0, 0.5), ("trace", "fc1"): sampled(3.0, 0.5), ("loss", ""): FAILED}),
    replace(record("k2", {("mine", ""): sampled(5, 2), **exactly(other=2.5)}), measure="pkg.mod:Mine params=fc"),
    status="partial",
    quantities=((MINE, "pkg.mod:Mine"),),
)
TWIN = replace(A, path="/runs/a/step_2.pt", step=2, records=())
B = outcome("/runs/b/step_1.pt", record("k3", exactly(trace=20.0)), seed=7)
NAMED = ["run", "step", "quantity", "component", "value", "lower", "status"]


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(store_of(tmp_path_factory.mktemp("long") / "store", A, TWIN, B, failure("/runs/c/step_1.pt")))


def test_a_row_for_each_checkpoint_quantity_and_component(store: Store) -> None:
    """A content at two paths has its rows twice, what failed is null, and a failed checkpoint has no row."""
    of_a: list[list[Any]] = [
        ["loss", "", None, None, "failed"],
        ["mine", "", 5.0, 3.0, "converged"],
        ["other", "", 2.5, 2.5, "exact"],
        ["trace", "", 12.0, 11.5, "converged"],
        ["trace", "fc1", 3.0, 2.5, "converged"],
    ]
    found = store.sql(f"select {', '.join(NAMED)} from long order by run, step, quantity, component")
    rows = [[None if pd.isna(cell) else cell for cell in row] for row in found.values.tolist()]
    assert rows == [
        *(["/runs/a", step, *row] for step in (2, 10) for row in of_a),
        ["/runs/b", 1, "trace", "", 20.0, 20.0, "exact"],
    ]
    assert store.sql(
        "select distinct seed, task_id, dtype, method from long where run = '/runs/b'"
    ).values.tolist() == [[7, "t1", "float32", "by hand"]]
    assert store.table("long")["step"].tolist() == [2] * 5 + [10] * 5 + [1]


def test_long_and_results_say_the_same(store: Store) -> None:
    results, long = store.results(all_columns=True), store.table("long")
    whole = long[(long["component"] == "") & (long["status"] != "failed")]
    assert len(whole) == 7
    for row in whole.itertuples():
        (cells,) = results[results["checkpoint"] == row.checkpoint].to_dict("records")
        for suffix, part in {"": "value", "_stderr": "stderr", "_lower": "lower", "_upper": "upper"}.items():
            cell, expected = cells[row.quantity + suffix], getattr(row, part)
            assert cell == expected or (pd.isna(cell) and pd.isna(expected))


def test_quantities_of_ones_own_are_columns_with_words(store: Store) -> None:
    results = store.results()
    assert results[["mine", "mine_stderr", "mine_lower", "mine_upper"]].iloc[0].tolist() == [5, 1.0, 3, 7]
    assert results["mine"].dtype == results["mine_upper"].dtype == "Int64"
    assert results["mine_stderr"].dtype == results["other"].dtype == "float64"
    table = store.table("quantities").set_index("name")
    assert table.loc["mine"].tolist() == ["what I count", "loss", "pkg.mod:Mine", True, True]
    assert table.loc["other"].tolist() == ["", "1", "pkg.mod:Mine", False, False]
    assert table.loc["trace"].tolist() == [
        "T = tr H, the trace of the Hessian",
        "loss/theta^2",
        "moments",
        False,
        False,
    ]
    assert list(table.index) == [*(quantity.name for quantity in QUANTITIES), "mine", "other"]
    joined = "select distinct unit from long join quantities on quantity = name where component = '' order by unit"
    assert store.sql(joined)["unit"].tolist() == ["1", "loss", "loss/theta^2"]


def test_an_unknown_table_is_told_with_what_there_is(store: Store) -> None:
    with pytest.raises(Misuse) as caught:
        store.table("result")
    assert str(caught.value) == f"unknown table 'result'; choose from {', '.join(NAMES)}"


def test_a_store_shows_itself_in_one_line_and_as_a_table(tmp_path: Path) -> None:
    folder = store_of(tmp_path / "s<b>", A, TWIN, B)
    assert repr(open_store(folder)) == f"Store({folder}, checkpoints=3, runs=2, tasks=1)"
    store_of(folder, failure("/runs/c/step_1.pt"))
    write_part(folder, B).write_bytes(b"")
    shown = open_store(folder)
    assert repr(shown) == f"Store({folder}, checkpoints=4, failed=1, runs=3, tasks=1, broken_files=1)"
    assert "s&lt;b&gt;" in shown._repr_html_()
    assert "<td>checkpoints</td><td>4</td>" in shown._repr_html_()


def test_a_column_can_be_added_without_a_warning_of_pandas(tmp_path: Path) -> None:
    """Frames of more than a hundred blocks would warn."""
    every = record("k", exactly(**dict.fromkeys((q.name for q in QUANTITIES[::2]), 2.0)))
    store = open_store(store_of(tmp_path / "store", outcome("/a.pt", every)))
    for all_columns in (False, True):
        rows = store.results(all_columns)
        rows["double"] = 3.0
