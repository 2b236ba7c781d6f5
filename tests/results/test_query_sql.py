"""SQL over a store: every table, one line for what does not run, and numbers while others write."""

import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

from scalecurv.errors import Misuse
from scalecurv.quantities import QUANTITIES
from scalecurv.results.export import export
from scalecurv.results.query import Store, open_store
from scalecurv.results.tables import NAMES
from scalecurv.store.labels import LabelChanges, run_row, write_labels
from scalecurv.store.writer import write_part
from tests.outcomes import exactly, failure, outcome, record, sampled, store_of

A = outcome("/runs/a/step_2.pt", record("k1", {("trace", ""): sampled(12.0, 0.5), ("trace", "fc1"): sampled(3.0, 0.5)}))
B = outcome("/runs/a/step_10.pt", record("k3", exactly(trace=20.0)))
C = outcome("/runs/a/best.pt", record("k4", exactly(loss=0.25)), provenance={"host": "there"})


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(store_of(tmp_path_factory.mktemp("sql") / "store", A, B, C, failure("/runs/b/step_1.pt")))


def test_every_table_can_be_asked(store: Store) -> None:
    lengths = {"checkpoints": 4, "estimates": 4, "arrays": 0, "tasks": 1, "provenance": 3, "files": 3, "results": 4}
    lengths |= {"long": 4, "runs": 0, "moves": 0, "quantities": len(QUANTITIES)}
    assert lengths.keys() == set(NAMES)
    for name, length in lengths.items():
        assert store.sql(f'select count(*) from "{name.upper()}"').values.tolist() == [[length]]
        assert len(store.table(name)) == length
    joined = "select loss, quantity from tasks join estimates using (task_id) where component = 'fc1'"
    assert store.sql(joined).values.tolist() == [["mse", "trace"]]
    assert store.table("checkpoints")["step"].isna().sum() == 2
    assert store.estimates().equals(store.table("estimates"))


CATALOG = {
    "show tables": ["name"],
    "select table_name from information_schema.tables": ["table_name"],
    "SELECT view_name FROM duckdb_views() where not internal": ["view_name"],
    "describe": ["name"],
}


def test_the_catalog_knows_every_table_and_column(store: Store) -> None:
    for query, columns in CATALOG.items():
        assert sorted(store.sql(query)[columns[0]]) == sorted(NAMES)
    for name in NAMES:
        described = store.sql(f"describe {name}")
        assert described["column_name"].tolist() == list(store.table(name))
        query = "select column_name from information_schema.columns where table_name = $name"
        assert store.sql(query, {"name": name})["column_name"].tolist() == list(store.table(name))
    assert len(store.sql("describe results", all_columns=True)) == len(store.results(all_columns=True).columns)
    types = dict(store.sql("describe results")[["column_name", "column_type"]].values.tolist())
    assert (types["step"], types["trace"], types["chain_status"]) == ("BIGINT", "DOUBLE", "VARCHAR")


def test_values_of_parameters_are_no_sql(store: Store) -> None:
    query = "select step, trace from results where run = $run and step > $least"
    assert store.sql(query, {"run": "/runs/a", "least": 2}).values.tolist() == [[10, 20.0]]
    assert len(store.sql(query, {"run": "' or true --", "least": 0})) == 0
    assert store.sql("select $x as x, typeof($x) as t", {"x": 1.5}).values.tolist() == [[1.5, "DOUBLE"]]
    for params in (None, {"run": "/runs/a"}, {"run": "/runs/a", "least": 1, "more": 2}):
        with pytest.raises(Misuse) as caught:
            store.sql(query, params)
        advice = "give a value for each $name, and for no other: -p NAME VALUE, in Python params={name: value}"
        assert str(caught.value).endswith(f"; {advice}")
        assert "\n" not in str(caught.value)


def test_arrays_come_whole(tmp_path: Path) -> None:
    store = open_store(store_of(tmp_path, outcome("/a.pt", record("k", {}, ritz=range(1500), none=[]))))
    found = store.sql("select name, values from arrays order by name")
    assert [list(values) for values in found["values"]] == [[], list(range(1500))]
    assert store.sql("select sum(v) from (select unnest(values) v from arrays)").values.tolist() == [[1500 * 1499 / 2]]


def test_frames_are_the_callers_own(store: Store) -> None:
    for frame in (store.results(), store.table("checkpoints"), store.estimates()):
        frame.iloc[:, 0] = "scribbled"
    assert "scribbled" not in store.results().iloc[:, 0].tolist() + store.table("checkpoints").iloc[:, 0].tolist()
    assert "scribbled" not in store.estimates().iloc[:, 0].tolist()


TABLES = f"; the tables are {', '.join(NAMES)}"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select nothing from results", 'Binder Error: Referenced column "nothing" not found in FROM clause!'),
        ("select * from nowhere", f"Catalog Error: Table with name nowhere does not exist{TABLES}"),
        ("select from from results", 'Parser Error: syntax error at or near "from"'),
        (
            "select cast(checkpoint as integer) from results",  # found only while rows are computed
            "Conversion Error: Could not convert string '/runs/a/step_2.pt' to INT32 when casting from source column "
            "checkpoint",
        ),
    ],
)
def test_what_does_not_run_is_said_in_one_line(store: Store, query: str, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        store.sql(query)
    text = str(caught.value)
    assert text.startswith(f"the query does not run: {message}")
    assert text.removeprefix(f"the query does not run: {message}").partition(" ")[0] in ("", "Candidate", "Did")
    assert "\n" not in text
    assert "LINE" not in text


def test_a_query_without_rows(store: Store) -> None:
    with pytest.raises(Misuse) as caught:
        store.sql("")
    assert str(caught.value) == "the query returns no rows; give a SELECT over results or estimates"


@pytest.mark.parametrize("name", ["query", "connection", "local_frame"])
def test_python_variables_are_no_tables(store: Store, name: str) -> None:
    local_frame = pd.DataFrame({"x": [1]})
    with pytest.raises(Misuse) as caught:
        store.sql(f"select * from {name}")
    assert str(caught.value) == f"the query does not run: Catalog Error: Table with name {name} does not exist{TABLES}"
    assert len(local_frame) == 1


def test_a_broken_part_is_left_out_and_told(tmp_path: Path) -> None:
    folder = store_of(tmp_path, A, B)
    victim = write_part(folder, C)
    victim.write_bytes(victim.read_bytes()[:100])
    opened = open_store(str(folder))
    assert sorted(opened.results()["step"].tolist()) == [2, 10]
    assert opened.broken == {victim: f"{victim} is no scalecurv file, or it was cut short"}


def test_a_store_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    folder = store_of(tmp_path)
    committed: list[int] = []

    def write() -> None:
        for i in range(12):
            write_part(folder, outcome(f"/runs/step_{i}.pt", record(f"k{i}", exactly(trace=float(i)))))
            committed.append(i)

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while writer.is_alive() or seen < 12:
        promised = list(committed)
        opened = open_store(folder)
        rows = opened.results(all_columns=True)
        assert opened.broken == {}
        assert set(promised) <= set(rows["step"])
        assert rows["trace"].tolist() == [float(step) for step in rows["step"]]
        seen = len(rows)
    writer.join()


READ = """
import sys
import scalecurv
from scalecurv.results import FORMATS
from scalecurv.results.formats import render
from scalecurv.results.summary import summary
store = scalecurv.open_store(sys.argv[1])
found = store.sql("select step, trace from results order by step")
print([len(render(found, form)) > 0 for form in FORMATS], len(summary(store)) > 0, found.values.tolist())
print(sorted({"torch", "ray"} & {name.partition(".")[0] for name in sys.modules}))
"""


def test_reading_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    store = store_of(tmp_path, A, B)
    done = subprocess.run([sys.executable, "-c", READ, store], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[True, True, True, True, True] True [[2.0, 12.0], [10.0, 20.0]]", "[]"], (
        done.stderr
    )


def test_bytes_that_are_no_text_are_escaped_for_sql_and_for_files(tmp_path: Path) -> None:
    stored = outcome("/runs/a\udcff/step_1.pt", record("k", exactly(loss=1.0)), step=1)
    store = store_of(tmp_path / "s", stored)
    odd = {"kind\udcff": "b\udcff\0"}
    write_labels(store, LabelChanges(runs=(run_row("/runs/a\udcff", odd, 1.0),)))
    found = open_store(store).sql(r"""select run, "kind\udcff" as kind from results where step = 1""")
    assert found.to_numpy().tolist() == [[r"/runs/a\udcff", r"b\udcff\x00"]]
    assert export(open_store(store), tmp_path / "out.nc", "results", False) == 1
