"""What asks for nothing new through the command redoes nothing: tolerance, comments, labels, names of directories."""

from pathlib import Path

import pytest

from scalecurv.results.query import open_store
from tests.commands import SERIAL, invoke
from tests.runs import write_checkpoint, write_data, write_run

FACTORY = '''"""Models."""
from torch import nn

WIDTH = 5


def net():
    return nn.Sequential(nn.Linear(6, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 3))
'''


def test_a_looser_tolerance_a_comment_and_other_labels_redo_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, store, source = tmp_path / "runs", tmp_path / "store", tmp_path / "net_of_a_user.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    source.write_text(FACTORY)
    data = write_data(tmp_path / "data.npz")
    for seed, name in enumerate(("lr0.1/w5.pt", "lr0.1/w6.pt", "lr0.2/w5.pt")):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(runs / name, seed=seed)
    words = ["analyze", "--data", data, "--loss", "cross_entropy", "--model", "net_of_a_user:net", *SERIAL]
    words += ["--measure", "moments", "--route", "generic", "--max-matvecs", 400]

    def stored(*more: object) -> str:
        result = invoke(*words, *more, runs, store)
        assert result.exit_code == 0, result.output
        return result.stdout.partition(", ")[0].replace(str(store), "STORE")

    def shown(column: str) -> list[object]:
        return list(open_store(store).sql(f"select {column} as it from results order by checkpoint")["it"])

    nothing = "everything is already there: 3 checkpoint(s) in STORE\n"
    assert stored("--rtol", "0.3") == "3 of 3 checkpoint(s) stored in STORE"
    numbers, products = shown("trace"), shown("total_matvecs")
    assert stored("--rtol", "0.5") == nothing
    source.write_text("# my models\n" + FACTORY.replace('"""Models."""', '"""All of my models."""') + "\n\nDEPTH = 2\n")
    assert stored("--rtol", "0.3") == nothing
    for pattern, rates in [(r"lr=lr([0-9.]+)", [0.1, 0.1, 0.2]), (r"lr=lr0[.]([0-9]+)", [1, 1, 2])]:
        assert stored("--rtol", "0.3", "--run-attr", pattern) == nothing
        assert shown("lr") == rates
    assert stored("--rtol", "0.3", "--step-pattern", r"w(?P<step>\d+)") == nothing
    assert shown("step") == [5, 6, 5]
    runs = runs.rename(tmp_path / "renamed")
    assert stored("--rtol", "0.3") == nothing
    assert (shown("lr"), shown("step")) == ([1, 1, 2], [5, 6, 5])
    assert all(Path(str(path)).exists() for path in shown("checkpoint"))
    assert (shown("trace"), shown("total_matvecs")) == (numbers, products)
    source.write_text(FACTORY.replace("nn.Tanh()", "nn.Sigmoid()"))
    assert stored("--rtol", "0.3") == "3 of 3 checkpoint(s) stored in STORE"


def test_each_wrong_label_is_one_line(tmp_path: Path) -> None:
    run = write_checkpoint(tmp_path / "w5.pt").parent
    words = ["analyze", run, tmp_path / "store", "--data", write_data(tmp_path / "d.npz"), "--loss", "mse", *SERIAL]
    words += ["--activation", "relu"]
    for more, line in [
        (["--step-pattern", "("], "--step-pattern '(' is no regular expression ("),
        (["--step-pattern", "w(.*)"], "--step-pattern 'w(.*)': the group step is '5.pt' in "),
        (["--step-pattern", "x(5)"], "--step-pattern 'x(5)' is found in none of 1 names, such as w5.pt; "),
        (["--run-attr", "lr"], "--run-attr 'lr' is not of the form NAME=REGEX; "),
        (["--run-attr", "lr=("], "--run-attr lr=( is no regular expression ("),
        (["--run-attr", "a b=c"], "--run-attr a b=c: 'a b' is no name of a column; "),
        (["--run-attr", "lr=zzz"], "--run-attr lr=zzz is found in no path of 1 run(s), such as "),
    ]:
        result = invoke(*words, *more)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert result.stderr.startswith(f"scalecurv: {line}")
        assert len(result.stderr.splitlines()) == 1
    (run / "run.json").write_text("[]")
    result = invoke(*words)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"scalecurv: {run}/run.json holds a list; it must be an object")
    assert not (tmp_path / "store").exists()


def test_a_dry_run_says_that_names_have_no_step(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [])
    for seed, name in enumerate(("wa.pt", "wb.pt")):
        write_checkpoint(run / name, seed=seed)
    result = invoke("analyze", run, tmp_path / "store", "--dry-run", "--measure", "gradient", *SERIAL)
    note = r"no step found in 2 of 2 names: wa.pt, wb.pt; give --step-pattern REGEX with (?P<step>\d+)"
    assert (result.exit_code, result.stderr) == (0, f"{note}\n")
