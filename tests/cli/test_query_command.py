"""`scalecurv query` with values for $names, `show` and `export` with all columns, as a user meets them."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from scalecurv.results.tables import NAMES
from scalecurv.store.labels import LabelChanges, run_row, write_labels
from tests.commands import ROOT, invoke
from tests.outcomes import exactly, outcome, record, store_of

RUNS = [outcome(f"/runs/00{i}/step_{i}.pt", record(f"k{i}", exactly(trace=i / 2)), run=f"00{i}") for i in (1, 2)]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    return store_of(tmp_path / "store", *RUNS)


def test_values_of_the_query(store: Path) -> None:
    """Numbers as JSON writes them stay numbers; 001 is the name of a run."""
    query = "select step, trace from results where run = $run and trace <= $most"
    found = invoke("query", store, query, "-p", "run", "001", "--param", "most", "0.5", "--format", "ndjson")
    assert (found.exit_code, found.stdout) == (0, '{"step": 1, "trace": 0.5}\n')
    words = {"1": "INTEGER", "-3": "INTEGER", "1e3": "DOUBLE", "0.50": "DOUBLE", "007": "VARCHAR", "nan": "VARCHAR"}
    for word, kind in {**words, "": "VARCHAR", "1 ": "VARCHAR", "0x1": "VARCHAR", ".5": "VARCHAR"}.items():
        found = invoke("query", store, "select typeof($x) as t", "-p", "x", word, "--format", "csv")
        assert found.stdout == f"t\n{kind}\n", word
    assert invoke("query", store, "select $x as x", "-p", "$x", "3", "--format", "csv").stdout == "x\n3\n"
    missing = invoke("query", store, query, "-p", "run", "001")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert missing.stderr.endswith(
        "; give a value for each $name, and for no other: -p NAME VALUE, in Python params={name: value}\n"
    )
    assert len(missing.stderr.splitlines()) == 1


def test_columns_of_nothing_are_left_out_unless_asked(store: Path, tmp_path: Path) -> None:
    few = json.loads(invoke("query", store, "select * from results", "--format", "json").stdout)
    every = json.loads(invoke("query", store, "select * from results", "--format", "json", "--all-columns").stdout)
    assert {"trace", "trace_lower"} <= few[0].keys() < every[0].keys()
    assert "trace_stderr" in every[0].keys() - few[0].keys()
    assert [name for name in every[0] if name in few[0]] == list(few[0])
    for options, row in (((), few[0]), (("--all-columns",), every[0])):
        invoke("export", store, tmp_path / "x.csv", *options)
        assert list(pd.read_csv(tmp_path / "x.csv")) == list(row)
    assert "lambda_max" not in invoke("show", store).stdout
    assert "lambda_max" in invoke("show", store, "--all-columns").stdout


def test_tables_and_their_columns(store: Path) -> None:
    assert invoke("query", store, "show tables", "--format", "csv").stdout.split() == ["name", *sorted(NAMES)]
    columns = invoke("query", store, "describe results", "--format", "csv").stdout
    assert "\ntrace,DOUBLE," in columns
    unknown = invoke("query", store, "select * from result").stderr
    reason = "the query does not run: Catalog Error: Table with name result does not exist"
    assert unknown == f"scalecurv: {reason}; the tables are {', '.join(NAMES)}\n"


def test_the_examples_of_the_document_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "store.md").read_text()
    monkeypatch.chdir(tmp_path)
    store = store_of(tmp_path / "results", outcome("/runs/a/step_3.pt", record("k", exactly(trace=2.0))))
    write_labels(store, LabelChanges(runs=(run_row("/runs/a", {"lr": 0.1}, 1.0),)))
    lines = [line for line in text.splitlines() if line.startswith(("scalecurv query ", "scalecurv export "))]
    found = [invoke(*shlex.split(line, comments=True)[1:]) for line in lines]
    assert [result.exit_code for result in found] == [0] * len(lines)
    assert found[2].stdout == "step,trace\n3,2.0\n"
    assert len(found) == 8
    program, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(program.replace("store.sql", "found = store.sql"), names)
    assert isinstance(names["found"], pd.DataFrame)
    assert names["found"].values.tolist() == [[3, 2.0]]
