"""One result in five formats: no digit lost, nothing but null where there is no number."""

import io
import json
import math
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecurv.results import FORMATS
from scalecurv.results.formats import render
from scalecurv.results.query import Store, open_store
from tests.outcomes import exactly, failure, outcome, record, store_of

NUMBERS = st.lists(st.floats(), min_size=1, max_size=6)
deterministic = settings(derandomize=True, deadline=None, max_examples=60, database=None)


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = record("k1", exactly(trace=1 / 3, loss=1.25e-17, rank=5), ritz=np.arange(1200) / 7)
    folder = tmp_path_factory.mktemp("formats")
    return open_store(store_of(folder, outcome("/runs/a, b/step_2.pt", found), failure('/runs/a, b/"c".pt')))


QUERY = "select checkpoint, step, rank, loss, trace, chain_1, status from results order by step"
EXPECTED = [
    ["/runs/a, b/step_2.pt", 2, 5, 1.25e-17, 1 / 3, None, "ok"],
    ['/runs/a, b/"c".pt', None, None, None, None, None, "failed"],
]


def test_json_is_a_list_of_objects(store: Store) -> None:
    text = render(store.sql(QUERY), "json")
    rows = json.loads(text)
    assert isinstance(text, str)
    assert text.endswith("]\n")
    assert [list(row.values()) for row in rows] == EXPECTED
    assert list(rows[0]) == ["checkpoint", "step", "rank", "loss", "trace", "chain_1", "status"]
    assert type(rows[0]["rank"]) is int
    assert json.loads(render(store.sql(f"select * from ({QUERY}) where step = 3"), "json")) == []


def test_ndjson_is_an_object_in_each_line(store: Store) -> None:
    text = render(store.sql(QUERY), "ndjson")
    assert isinstance(text, str)
    assert [json.loads(line) for line in text.splitlines()] == json.loads(render(store.sql(QUERY), "json"))
    assert text.endswith("}\n")
    assert render(store.sql(f"select * from ({QUERY}) where step = 3"), "ndjson") == ""


@deterministic
@given(NUMBERS)
def test_json_and_csv_keep_every_digit(numbers: list[float]) -> None:
    frame = pd.DataFrame({"x": numbers})
    from_json = [row["x"] for row in json.loads(render(frame, "json"), parse_constant=pytest.fail)]
    assert from_json == [x if math.isfinite(x) else None for x in numbers]
    lines = render(frame, "csv").splitlines()[1:]
    from_csv = [float(line.strip('"') or "nan") for line in lines]  # alone on its line, a null is ""
    np.testing.assert_array_equal(from_csv, numbers)


def test_json_of_every_type_that_sql_gives(store: Store) -> None:
    frame = store.sql(
        "select 2::bigint i, 3::tinyint j, 0.1::double f, 0.5::float g, true b, null n, 'x' s, date '2020-01-02' d, "
        "[1.5, null] l, {'a': 1, 'b': 'nan'::double} o, [[1], []] ll, 2::hugeint h, 'nan'::float e, null::timestamp t"
    )
    assert json.loads(render(frame, "json")) == [
        {"i": 2, "j": 3, "f": 0.1, "g": 0.5, "b": True, "n": None, "s": "x", "d": "2020-01-02 00:00:00"}
        | {"l": [1.5, None], "o": {"a": 1, "b": None}, "ll": [[1], []], "h": 2.0, "e": None, "t": None}
    ]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_arrays_come_whole(store: Store, form: str) -> None:
    text = render(store.sql("select name, values from arrays"), form)
    found = json.loads(text)[0]["values"] if form == "json" else json.loads(pd.read_csv(io.StringIO(text))["values"][0])
    assert found == (np.arange(1200) / 7).tolist()


def test_csv_line_by_line(store: Store) -> None:
    assert render(store.sql(QUERY), "csv") == (
        "checkpoint,step,rank,loss,trace,chain_1,status\n"
        '"/runs/a, b/step_2.pt",2,5,1.25e-17,0.3333333333333333,,ok\n'
        '"/runs/a, b/""c"".pt",,,,,,failed\n'
    )


def test_a_table_for_eyes(store: Store) -> None:
    assert render(store.sql(QUERY), "table").splitlines() == [
        "          checkpoint step rank     loss    trace chain_1 status",
        "/runs/a, b/step_2.pt    2    5 1.25e-17 0.333333             ok",
        '   /runs/a, b/"c".pt                                     failed',
    ]


def test_a_table_hides_no_row() -> None:
    lines = render(pd.DataFrame({"x": range(500)}), "table").splitlines()
    assert [line.strip() for line in lines] == ["x", *map(str, range(500))]


def test_parquet_is_read_back_by_others(store: Store, tmp_path: Path) -> None:
    image = render(store.sql(QUERY), "parquet")
    assert isinstance(image, bytes)
    (tmp_path / "x.parquet").write_bytes(image)
    with duckdb.connect(":memory:") as connection:
        relation = connection.sql(f"select * from '{tmp_path / 'x.parquet'}'")
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        assert [list(row) for row in relation.fetchall()] == EXPECTED
    assert (types["step"], types["rank"], types["trace"], types["checkpoint"]) == (
        "BIGINT",
        "BIGINT",
        "DOUBLE",
        "VARCHAR",
    )


def test_the_whole_of_results_in_every_format(store: Store, tmp_path: Path) -> None:
    results = store.results()
    assert FORMATS == ("table", "csv", "json", "ndjson", "parquet")
    assert list(json.loads(render(results, "json"))[0]) == list(results.columns)
    assert list(json.loads(str(render(results, "ndjson")).splitlines()[0])) == list(results.columns)
    assert render(results, "csv").splitlines()[0].split(",") == list(results.columns)
    assert render(results, "table").splitlines()[0].split() == list(results.columns)
    (tmp_path / "x.parquet").write_bytes(render(results, "parquet"))
    with duckdb.connect(":memory:") as connection:
        assert connection.sql(f"select * from '{tmp_path / 'x.parquet'}'").columns == list(results.columns)
