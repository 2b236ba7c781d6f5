"""The commands as a user meets them: what they print, what they leave on disk, how they exit."""

import io
import json
import os
import re
import resource
import shlex
import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import torch

from scalecurv.cli.main import main
from scalecurv.measures import Gradient
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.measure import Findings
from scalecurv.results.query import open_store
from scalecurv.statistics.estimate import Status
from tests.commands import analyze, invoke, untimed_lines
from tests.runs import rows_of, write_checkpoint, write_malicious, write_run, write_truncated

SQL = "select checkpoint, step, num_params, trace, rank, chain_status from results order by step"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints that worked and one that did not, all default measures."""
    folder = tmp_path_factory.mktemp("cli")
    write_truncated(write_run(folder / "run") / "step_9.pt")
    measures = [
        word for name in ("gradient", "extremes", "moments", "curvature", "rank") for word in ("--measure", name)
    ]
    assert (
        analyze(folder / "run", folder / "store", *measures, "--max-matvecs", 64, "--route", "generic").exit_code == 1
    )
    return folder / "store"


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_analyze_says_what_it_stored_and_then_that_it_is_there(run: Path, tmp_path: Path) -> None:
    first = analyze(run, tmp_path / "store")
    assert first.exit_code == 0
    stored = rf"3 of 3 checkpoint\(s\) stored in {tmp_path}/store, \d+\.\d s on engine serial\n"
    assert re.fullmatch(stored, first.stdout)
    assert untimed_lines(first.stderr) == [f"{i + 1}/3 ok {run}/step_{i}.pt" for i in range(3)]
    second = analyze(run, tmp_path / "store")
    assert (second.exit_code, second.stderr) == (0, "")
    assert second.stdout == f"everything is already there: 3 checkpoint(s) in {tmp_path}/store\n"


def test_what_the_products_did_not_reach_is_said(run: Path, tmp_path: Path) -> None:
    few = ("--route", "generic", "--max-matvecs", 24, "--rtol", 0.001)
    result = analyze(run, tmp_path / "store", "--measure", "gradient,moments", *few)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[3:] == [
        f"{name} is wider than --rtol at 3 of 3; more --max-matvecs narrow its interval"
        for name in ("trace", "trace_h2")
    ]


@pytest.mark.parametrize("measure", ["moments", "curvature", "gradient,moments"])
def test_an_exact_route_that_is_not_there_is_said_at_once(run: Path, tmp_path: Path, measure: str) -> None:
    before = tree(tmp_path)
    result = analyze(run, tmp_path / "store", "--activation", "tanh", "--route", "exact", "--measure", measure)
    assert (result.exit_code, result.stdout) == (2, "")
    wanted = "route 'exact' needs an MLP of piecewise-linear activations; leave the route out"
    assert result.stderr == f"scalecurv: measure {measure.split(',')[-1]}: {wanted}\n"
    assert tree(tmp_path) == before  # no store either


def test_a_broken_part_that_nobody_misses_is_set_aside(run: Path, tmp_path: Path) -> None:
    analyze(run, tmp_path / "store")
    broken = tmp_path / "store" / "parts" / "0.h5"
    broken.write_bytes(b"garbage")
    result = analyze(run, tmp_path / "store")
    assert result.exit_code == 0
    assert result.stdout == f"everything is already there: 3 checkpoint(s) in {tmp_path}/store\n"
    reason = f"{broken} is no scalecurv file, or it was cut short"
    assert result.stderr == f"{reason}; it is set aside, and its work done again\n"
    assert [path.name for path in broken.parent.glob("0.h5*")] == ["0.h5.broken"]
    assert analyze(run, tmp_path / "store").stderr == ""


def test_what_is_said_wins_over_problem_json(run: Path, tmp_path: Path) -> None:
    analyze(run, tmp_path / "store", "--loss", "mse", "--activation", "tanh")
    analyze(run / "step_0.pt", tmp_path / "store")
    tasks = open_store(tmp_path / "store").table("tasks")
    assert sorted(tasks[["loss", "activation", "model", "data_path"]].itertuples(index=False, name=None)) == [
        ("cross_entropy", "relu", "mlp", f"{run}/data.npz"),
        ("mse", "tanh", "mlp", f"{run}/data.npz"),
    ]


def test_one_good_file_among_bad_ones_is_stored_and_no_code_is_run(tmp_path: Path) -> None:
    run, marker = write_run(tmp_path / "run", steps=[1]), tmp_path / "code was run"
    write_malicious(run / "step_0.pt", marker)
    write_truncated(run / "step_2.pt")
    result = analyze(run, tmp_path / "store")
    assert result.exit_code == 1
    assert not marker.exists()
    lines = untimed_lines(result.stderr)
    assert lines[:3] == [f"1/3 failed {run}/step_0.pt", f"2/3 ok {run}/step_1.pt", f"3/3 failed {run}/step_2.pt"]
    assert [line.split(" ", 2)[:2] for line in lines[3:]] == [["failed:", f"{run}/step_{i}.pt"] for i in (0, 2)]
    assert result.stdout.startswith(f"1 of 3 checkpoint(s) stored in {tmp_path}/store, ")
    assert len(set(rows_of(tmp_path / "store")["fingerprint"])) == 1
    assert untimed_lines(analyze(run, tmp_path / "store").stderr)[0] == f"1/2 failed {run}/step_0.pt"
    torch.load(run / "step_0.pt", weights_only=False)
    assert marker.exists()  # the payload was a live one


def test_a_measure_that_breaks_down_makes_a_partial_checkpoint(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "step_1.pt", weights_only=True)
    for tensor in content["model"].values():
        tensor *= 1e8  # finite outputs, and products that are not
    torch.save(content, run / "step_1.pt")
    result = analyze(run, tmp_path / "store", "--loss", "mse")
    assert result.exit_code == 1
    reason = "a product in torch.float32 is not finite; try --dtype float64, or look at the weights"
    assert result.stderr.splitlines()[-1] == f"partial: {run}/step_1.pt: measure gradient failed: {reason}"
    results = open_store(tmp_path / "store").results()
    assert list(results["status"]) == ["ok", "partial", "ok"]
    assert list(results["ghg"].isna()) == [False, True, False]


def test_a_bug_exits_with_3_names_the_checkpoint_and_keeps_the_rest(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, computed = Gradient.compute, []

    def breaks(self: Gradient, evaluation: Evaluation) -> Findings:
        computed.append(evaluation)
        if len(computed) == 2:
            raise ZeroDivisionError("the model's own bug")
        return compute(self, evaluation)

    monkeypatch.setattr(Gradient, "compute", breaks)
    result = analyze(run, tmp_path / "store")
    assert result.exit_code == 3
    lines = [line for line in untimed_lines(result.stderr) if line]
    assert lines[0] == f"1/3 ok {run}/step_0.pt"
    assert lines[1] == "Traceback (most recent call last):"
    assert f"scalecurv.engine.attempts.UnexpectedError: while analysing {run}/step_1.pt:" in lines
    assert lines[-2:] == [
        "ZeroDivisionError: the model's own bug",
        "scalecurv: this is a bug, please report it; what was finished is stored",
    ]
    assert list(open_store(tmp_path / "store").results()["step"]) == [0]


@pytest.mark.fault
def test_a_full_disk_exits_with_1_in_one_line(run: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        result = analyze(run, tmp_path / "store")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (result.exit_code, result.stdout) == (1, "")
    parts = tmp_path / "store" / "parts"
    assert result.stderr == f"scalecurv: {parts} cannot be written (File too large); make room and run the same again\n"
    assert list(parts.iterdir()) == []


def test_show_prints_every_checkpoint(store: Path) -> None:
    result = invoke("show", store)
    assert result.exit_code == 0
    first, task, blank, header, *rows, mark, failed = result.stdout.splitlines()
    assert first == f"{store}: 4 checkpoint(s) (3 ok, 1 failed)"
    assert re.fullmatch(
        rf"task [0-9a-f]{{16}}: cross_entropy \(mean\) over 20 samples of {store.parent}/run/data.npz, mlp relu", task
    )
    assert blank == ""
    assert header.split()[:5] == ["step", "loss", "grad_norm", "beta", "trace"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]
    assert all("+-" in row for row in rows)
    assert mark == f"* {Status.BUDGET.advice}"
    assert failed.startswith(f"failed: {store.parent}/run/step_9.pt ")


def test_query_in_every_format_gives_the_same(store: Path) -> None:
    expected = open_store(store).sql(SQL)
    assert list(expected["step"]) == [0, 1, 2, 9]
    assert list(expected["trace"].isna()) == [False] * 3 + [True]
    results = {form: invoke("query", store, SQL, "--format", form) for form in ("table", "csv", "json", "parquet")}
    assert {result.exit_code for result in results.values()} == {0}
    objects = json.loads(results["json"].stdout)
    assert [row["trace"] for row in objects] == [*expected["trace"][:3], None]
    assert [row["rank"] for row in objects] == [*expected["rank"][:3], None]
    csv = pd.read_csv(io.StringIO(results["csv"].stdout))
    pd.testing.assert_frame_equal(csv, expected, check_dtype=False, check_exact=True)
    parquet = store.parent / "results.parquet"
    parquet.write_bytes(results["parquet"].stdout_bytes)
    pd.testing.assert_frame_equal(duckdb.read_parquet(str(parquet)).df(), expected)
    header, first, *_ = results["table"].stdout.splitlines()
    assert header.split() == list(expected.columns)
    assert first.split()[1:4] == ["0", "53", f"{expected['trace'][0]:.6g}"]


def test_plot_draws_a_picture(store: Path, tmp_path: Path) -> None:
    result = invoke("plot", store, tmp_path / "curvature.png")
    said = f"wrote {tmp_path / 'curvature.png'}: 5 panels, 1 run, 4 checkpoints\n"
    assert (result.exit_code, result.stdout) == (0, said)
    assert (tmp_path / "curvature.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_broken_part_is_said_and_left_alone_by_readers(store: Path) -> None:
    broken = store / "parts" / "0.h5"
    broken.write_bytes(b"garbage")
    try:
        result = invoke("query", store, "select count(*) as n from results", "--format", "csv")
        assert (result.exit_code, result.stdout) == (0, "n\n4\n")
        assert result.stderr == f"left out: {broken} is no scalecurv file, or it was cut short\n"
        assert broken.exists()
    finally:
        broken.unlink()


@pytest.mark.parametrize("name", sorted(set(main.commands) - {"submit"}))
def test_the_example_in_the_help_runs(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As it stands there, in a directory with runs/a, trained for 100 steps, and results; `analyze` in a loop."""
    shutil.copytree(store.parent / "run", tmp_path / "runs" / "a")
    (tmp_path / "runs" / "a" / "step_9.pt").unlink()  # which is cut short
    write_checkpoint(tmp_path / "runs" / "a" / "step_100.pt", seed=100)
    os.symlink(store, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    shown = invoke(name, "--help").stdout
    examples = re.findall(r"Example: scalecurv (.+(?:\n  \S.*)*)", shown)
    for example in examples:
        words = shlex.split(example)
        assert words[0] == name
        result = invoke(*words, *(["--engine", "serial", "--threads", 1, "--dry-run"] if name == "analyze" else []))
        said = [line for line in result.stderr.splitlines() if not line.startswith("left out: ")]  # what failed
        assert (result.exit_code, said) == (0, [])
    assert examples
    assert (tmp_path / "curvature.png").exists() == (name == "plot")
