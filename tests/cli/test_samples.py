"""Numbers from a sample of the data, on the command line: of the sample itself, or of all data."""

import json
import logging
from pathlib import Path

import pytest

import scalecurv as sc
from scalecurv.cli.analyze import sweep_of
from scalecurv.cli.main import main
from scalecurv.measures import MEASURES
from tests.commands import analyze, invoke
from tests.runs import NUM_DATA, write_run

DRAWN = (
    "--max-samples: 6 of 20 samples are all data here, so that the numbers are those of the loss over these 6; for the "
    "loss over all 20 give --from-samples 16 instead"
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_whose_numbers_they_are_is_said_last(run: Path, tmp_path: Path) -> None:
    """It is said where a sample was all data, wherever that was asked for, and not where nothing was computed."""
    for extra in (("--dry-run",), (), ("--follow", "--patience", 0.1)):
        store = tmp_path / f"store{len(extra)}"
        first = analyze(run, store, "--max-samples", 6, *extra)
        assert (first.exit_code, first.stderr.splitlines()[-1]) == (0, DRAWN)
        assert first.stderr.count("--max-samples") == 1
    assert analyze(run, tmp_path / "store0", "--max-samples", 6).stderr == ""
    assert "--max-samples" not in analyze(run, tmp_path / "all", "--max-samples", NUM_DATA).stderr
    assert "--max-samples" not in analyze(run, tmp_path / "quiet", "--max-samples", 6, "-q").stderr
    write_run(run, max_samples=6)  # type: ignore[arg-type]
    assert json.loads((run / "problem.json").read_text())["max_samples"] == 6
    assert analyze(run, tmp_path / "by_file").stderr.splitlines()[-1] == DRAWN


def test_the_function_says_it_too_and_the_summary(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "scalecurv"):
        sc.sweep(run, tmp_path / "store", measures="gradient", engine="serial", threads=1, max_samples=6)
    assert [record.message for record in caplog.records][-1] == DRAWN
    assert "over 6 of 20 samples of" in invoke("show", tmp_path / "store").stdout
    analyze(run, tmp_path / "all")
    assert "over 20 samples of" in invoke("show", tmp_path / "all").stdout


def test_estimates_from_samples_are_of_all_data(run: Path, tmp_path: Path) -> None:
    """They go to the measures that have them, under keys of their own, and say what would narrow them."""
    asked = ("--measure", "extremes,moments,curvature,rank", "--rtol", 0.0001, "--from-samples", 16)
    found = analyze(run, tmp_path / "store", *asked)
    assert found.exit_code == 0
    said = "lambda_max is wider than --rtol at 3 of 3; more --from-samples, or more --max-matvecs, narrow its interval"
    assert said in found.stderr.splitlines()
    assert "--max-samples" not in found.stderr
    estimates = sc.open_store(tmp_path / "store").table("estimates")
    methods = estimates[estimates["component"] == ""].groupby("quantity")["method"].first()
    assert methods["lambda_max"] == "lanczos on 16 of 20 samples, 6 products of all"
    assert "16 of 20 samples" in methods["rank"]
    assert "sum over layers" in methods["trace"]
    again = analyze(run, tmp_path / "store", *asked)
    assert again.stdout.startswith("everything is already there")
    assert not analyze(run, tmp_path / "store", *asked[:-2]).stdout.startswith("everything")


def test_the_option_reaches_the_measures_that_have_it(run: Path, tmp_path: Path) -> None:
    line = [str(run), str(tmp_path / "store"), "--measure", ",".join(MEASURES), "--from-samples", "40"]
    asked = sweep_of(main.commands["analyze"].make_context("analyze", line).params)
    with_it = {m.name for m in asked.request.measures if m.options.get("from_samples") == 40}
    assert with_it == {"extremes", "moments", "curvature", "rank"}


def test_what_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    few = "from_samples is 3; give a whole number of samples, at least 16, or leave it out"
    dense = "route 'dense' takes all samples, and from_samples is 16; leave one of them out"
    shared = (
        "an estimate from a sample needs all samples in one place, and they are spread over 2 ranks; leave "
        "--from-samples out, or give --plan checkpoints"
    )
    for words, line in (
        (("--from-samples", 3), few),
        (("--from-samples", 16, "--route", "dense"), dense),
        (("--from-samples", 16, "--plan", "data", "--engine", "ray", "--workers", 2), shared),
    ):
        result = invoke("analyze", run, tmp_path / "store", "--measure", "extremes", *words)
        assert (result.exit_code, result.stderr) == (2, f"scalecurv: measure extremes: {line}\n")
    result = analyze(run, tmp_path / "store", "--from-samples", 0)
    assert result.stderr == "scalecurv: --from-samples is 0; it must be positive and finite\n"
    assert not (tmp_path / "store").exists()
