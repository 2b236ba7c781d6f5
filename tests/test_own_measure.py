"""A measure of one's own: the example as an installed package, end to end, and what breaks in such a measure."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import scalecurv as sc
from scalecurv.measures import measures_named
from scalecurv.measures.evaluation import Evaluation
from scalecurv.results.query import open_store
from tests.commands import analyze, invoke
from tests.runs import write_run

EXAMPLE = Path(__file__).parents[1] / "examples" / "own_measure"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the example."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(EXAMPLE, folder / "source")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    words = (sys.executable, "-m", "pip", "install", *offline, "--target", folder / "site", folder / "source")
    subprocess.run(words, check=True, capture_output=True, text=True)
    return folder / "site"


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, "fisher_rao", raising=False)


@pytest.mark.usefixtures("installed")
def test_an_installed_measure_is_computed_stored_and_a_column(tmp_path: Path) -> None:
    run, store = write_run(tmp_path / "run", steps=range(2)), tmp_path / "store"
    result = analyze(run, store, "--measure", "fisher_rao,trace")
    assert (result.exit_code, result.stderr.count("ok")) == (0, 2), result.output
    assert analyze(run, store, "--measure", "fisher_rao_squared").stdout.startswith("everything is already there")
    sql = "select step, trace, fisher_rao_squared, fisher_rao_squared_lower from results order by step"
    rows = open_store(store).sql(sql)
    assert rows["step"].tolist() == [0, 1]
    assert rows["fisher_rao_squared"].tolist() == rows["fisher_rao_squared_lower"].tolist()
    assert (rows["fisher_rao_squared"] > 0).all()
    described = open_store(store).sql("select * from quantities where name = 'fisher_rao_squared'")
    assert described[["meaning", "unit", "measure"]].values.tolist() == [
        ["theta' G theta, the squared Fisher-Rao norm", "loss", "fisher_rao"]
    ]
    assert "fisher_rao_squared" in invoke("query", store, "select fisher_rao_squared from results").stdout


@pytest.mark.usefixtures("installed")
def test_the_example_is_what_theory_says() -> None:
    (measure,) = measures_named("fisher_rao")
    torch.manual_seed(0)
    layers = [
        nn.Linear(4, 6, bias=False),
        nn.ReLU(),
        nn.Linear(6, 5, bias=False),
        nn.ReLU(),
        nn.Linear(5, 3, bias=False),
    ]
    model, x = nn.Sequential(*layers).double(), torch.randn(20, 4).double()
    problem = sc.Problem(model, (x, torch.zeros(20, 3).double()), loss="mse")
    found = measure.compute(Evaluation(problem))
    whole = found.estimates["fisher_rao_squared"].value
    assert whole == pytest.approx(9 * float(model(x).detach().square().sum(1).mean()))  # L^2 mean |f|^2
    assert sum(e.value for e in found.parts.values()) == pytest.approx(whole)
    with torch.no_grad():
        model[0].weight[2] *= 7
        model[2].weight[:, 2] /= 7
    rescaled = measure.compute(Evaluation(sc.Problem(model, (x, problem.y), loss="mse")))
    assert rescaled.estimates["fisher_rao_squared"].value == pytest.approx(whole)


BROKEN = """
from dataclasses import dataclass
import numpy as np
import scalecurv as sc

@dataclass(frozen=True)
class Own(sc.Measure):
    name, version = "own", 1
    described = (sc.Quantity("own_value", "a number", integer=True), sc.Quantity("own_other", "another"))

    def compute(self, evaluation):
        good = sc.Estimate.exact(1.0, "counted")
        {body}
"""
ADVICE = "return Findings({name: Estimate.exact(value, method)}), or another Estimate"
FLAT = "for the array 'curve'; give 1-D float64"
FAULTS = (
    ("return {'a': 1}['b']", "raised KeyError: 'b' (users_own.py, line 13)"),
    ("raise SystemExit", "raised SystemExit (users_own.py, line 13)"),
    ("raise sc.Misuse('no such thing')", "raised Misuse: no such thing (users_own.py, line 13)"),
    ("return {'own_value': good}", f"returned a dict; {ADVICE}"),
    ("return sc.Findings({'own_value': 1.0})", f"returned a float, which is no Estimate; {ADVICE} for 'own_value'"),
    (
        "return sc.Findings({'mine': good})",
        "returned 'mine', and describes own_value, own_other; add Quantity('mine', meaning) to its described",
    ),
    (
        "return sc.Findings({'own_value': sc.Estimate.exact(1.5, 'x')})",
        "returned 1.5, and describes it as a whole number; leave integer=True out for 'own_value'",
    ),
    (
        "return sc.Findings(parts={('own_other', 'fc1'): 2})",
        f"returned an int, which is no Estimate; {ADVICE} for 'own_other' of 'fc1'",
    ),
    ("return sc.Findings({'own_value': good}, {'curve': np.ones((2, 2))})", f"returned a 2-D float64 {FLAT}"),
    ("return sc.Findings({'own_value': good}, {'curve': [1.0]})", f"returned a list {FLAT}"),
    (
        "return sc.Findings({'own_value': sc.Estimate.enclosed(None, 0, 1, 'x', sc.Status.BUDGET)})",
        "returned an Estimate that holds None; make it a float for 'own_value'",
    ),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a training run; what it imports is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "users_own", raising=False)
    return write_run(tmp_path / "run", steps=[0])


def test_a_measure_that_breaks_is_a_failed_row_with_its_message(here: Path, tmp_path: Path) -> None:
    for number, (body, said) in enumerate(FAULTS):
        (tmp_path / "users_own.py").write_text(BROKEN.replace("{body}", body))
        sys.modules.pop("users_own", None)
        store = tmp_path / f"store{number}"
        result = analyze(here, store, "--measure", "users_own:Own", "--measure", "gradient")
        assert result.exit_code == 1, result.output
        message = f"measure own {said}"
        assert result.stderr.splitlines()[-1] == f"partial: {here}/step_0.pt: measure own failed: {message}"
        rows = open_store(store).estimates().query("measure == 'own'")
        assert rows[["quantity", "status", "method"]].values.tolist() == [
            [name, "failed", message] for name in ("own_value", "own_other")
        ]
        assert open_store(store).results()["loss"].notna().all()


def test_a_measure_that_breaks_before_work_starts_is_misuse(here: Path, tmp_path: Path) -> None:
    right = BROKEN.replace("{body}", "return sc.Findings({'own_value': good})")
    for text, said in (
        ("import nothing_of_this_name", "measure users_own:Own cannot be imported (No module named "
         "'nothing_of_this_name'); is its directory on PYTHONPATH?"),
        ("1 / 0", "measure users_own:Own: importing users_own raised ZeroDivisionError: division by zero"),
        (right.replace("frozen=True", ""), "measure users_own:Own cannot be imported (cannot inherit non-frozen "
         "dataclass from a frozen one); is its directory on PYTHONPATH?"),
        (right + "    def check(self, problem):\n        assert 0, 'never'\n",
         "measure own raised AssertionError: never (users_own.py, line 15)"),
        (right + "    def cost(self, problem):\n        return 1 / 0\n",
         "measure own raised ZeroDivisionError: division by zero (users_own.py, line 15)"),
        (right + "    def check(self, problem):\n        raise sc.Misuse('not here')\n", "not here"),
    ):  # fmt: skip
        (tmp_path / "users_own.py").write_text(text)
        sys.modules.pop("users_own", None)
        for more in ((), ("--dry-run",)):
            result = analyze(here, tmp_path / "store", "--measure", "users_own:Own", *more)
            assert (result.exit_code, result.stderr.splitlines()) == (2, [f"scalecurv: {said}"]), result.output
