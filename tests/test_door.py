"""The public names: what `import scalecurv` offers, to Python and to type checkers alike."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import scalecurv as sc
from scalecurv.statistics.estimate import NAN
from tests.networks import problem

ROOT = Path(__file__).parents[1]
READING = ("Store", "open_store", "Estimate", "Status", "Outcome", "Quantity", "Misuse", "NothingFound", "StoreError")


def test_the_stub_says_what_the_lazy_table_does() -> None:
    tree = ast.parse((ROOT / "scalecurv" / "__init__.pyi").read_text())
    stub = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, alias.name  # as PEP 484 has it: else the name is not exported
                stub[alias.name] = node.module
    assert stub == {**sc._HOMES, **dict.fromkeys(sc._ROOMS, "scalecurv")}


def test_dir_lists_the_public_names_and_no_others() -> None:
    assert dir(sc) == sc.__all__ == sorted(sc.__all__)
    assert " ".join(sc.__all__) == (
        "CheckpointError ClusterError Estimate Evaluation Findings LinearOperator Measure Misuse NothingFound Outcome "
        "Problem Quantity Status Store StoreError analyze callbacks density effective_dimension eigenpairs "
        "functional_rank gauss_newton gradient hessian jacobian lambda_max lambda_min log_determinant open_store plot "
        "principal_curvatures rank_report ricci_curvature scalar_curvature sectional_curvature spectrum sweep trace "
        "trace_h2"
    )


def test_every_name_is_there_and_named_as_at_home() -> None:
    for name in sc._HOMES:
        thing = getattr(sc, name)
        assert thing.__name__ == name
        assert thing.__module__ == sc._HOMES[name]


def test_an_unknown_name_is_answered_by_those_there_are() -> None:
    wanted = f"module 'scalecurv' has no attribute 'tracee'; it offers {', '.join(sc.__all__)}"
    with pytest.raises(AttributeError, match=f"^{re.escape(wanted)}$"):
        sc.tracee  # noqa: B018


def test_names_for_reading_load_neither_torch_nor_ray() -> None:
    program = f"import sys, scalecurv\nfor name in {READING}: getattr(scalecurv, name)\n"
    program += "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_problem_is_shown_in_one_line_and_as_a_table() -> None:
    class Odd(torch.nn.Sequential):
        pass

    Odd.__name__ = "Odd<script>"
    x = torch.zeros(1200, 2)
    point = sc.Problem(Odd(torch.nn.Linear(2, 3)), (x, x[:, 0].long()), weight_decay=0.1, params="weight")
    told = "P=6, N=1,200, D=3, cross_entropy mean, float32 on cpu, weight_decay=0.1, params='weight'"
    assert repr(point) == f"Problem(Odd<script>, {told})"
    html = point._repr_html_()
    assert "<td>Odd&lt;script&gt;</td>" in html
    assert "<script>" not in html
    assert "\n" not in repr(problem("relu"))


def test_an_estimate_is_shown_in_one_line_that_leaves_nothing_out() -> None:
    sampled = sc.Estimate(1.5, 0.1, 1.25, 1.75, 0.95, 40, 44, "a<b", sc.Status.CONVERGED)
    assert repr(sampled) == (
        "Estimate(1.5 in [1.25, 1.75], confidence 0.95, converged, stderr 0.1, 40 samples, 44 matvecs: 'a<b')"
    )
    assert repr(sc.Estimate.exact(2, "by hand")) == "Estimate(2.0, exact: 'by hand')"
    assert repr(sc.Estimate.not_applicable("no plane")) == "Estimate(not_applicable: 'no plane')"
    bound = sc.Estimate(3.0, NAN, 3.0, 5.0, 1.0, 0, 0, "rank", sc.Status.LOWER_BOUND)
    assert repr(bound) == "Estimate(3.0 in [3.0, 5.0], confidence 1.0, lower_bound: 'rank')"
    assert "a&lt;b" in sampled._repr_html_()
    assert "<b" not in sampled._repr_html_()


def test_results_of_many_numbers_are_shown_in_one_line() -> None:
    """The last line of a notebook's cell: a rule of a thousand nodes, a curve, an outcome with all its records."""
    rule = sc.spectrum(problem("relu"))
    ends = f"{rule.nodes.min():.6g} .. {rule.nodes.max():.6g}"
    assert repr(rule) == f"SpectralRule(all 74 eigenvalues, range={ends})"
    sampled = sc.spectrum(problem("tanh"), num_starts=2, max_matvecs=40)
    assert re.fullmatch(r"SpectralRule\(\d+ nodes, starts=2, range=\S+ \.\. \S+\)", repr(sampled))
    curve = sc.density(rule, width=0.1, points=50)
    assert re.fullmatch(r"Density\(50 points, range=\S+ \.\. \S+, width=0\.1, truncation=0\)", repr(curve))
    done = sc.Outcome("a/step_3.pt", "ok", step=3, provenance={"host": "h" * 1000})
    assert repr(done) == "Outcome(a/step_3.pt, ok, step=3)"
    for thing in (rule, curve, done):
        assert "<caption>" in thing._repr_html_()


def test_the_quadratic_problem_is_what_it_says() -> None:
    values = (0.0, 1.1, -2.5)
    point = sc.Problem.quadratic(*values)
    eye, wanted = torch.eye(3, dtype=torch.float64), torch.tensor(values, dtype=torch.float64).diag()
    for operator, truth in ((sc.hessian(point), wanted), (sc.gauss_newton(point), wanted), (sc.jacobian(point), eye)):
        assert torch.equal(operator @ eye, truth)
    assert float(sc.gradient(point).norm()) == 0
    found = sc.analyze(point, ("moments", "extremes", "curvature"))
    assert {
        name: found[name].value for name in ("trace", "trace_h2", "lambda_max", "lambda_min", "scalar_curvature")
    } == {
        "trace": pytest.approx(-1.4),
        "trace_h2": pytest.approx(7.46),
        "lambda_max": pytest.approx(1.1),
        "lambda_min": pytest.approx(-2.5),
        "scalar_curvature": pytest.approx(1.96 - 7.46),
    }
    for bad in ((), (1.0, float("nan")), (float("inf"),)):
        with pytest.raises(sc.Misuse, match=r"^eigenvalues are \("):
            sc.Problem.quadratic(*bad)


def test_the_generated_pages_are_up_to_date() -> None:
    """In a process of its own, as `make docs` is: what other tests import and replace is not on the pages."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_the_interface_has_every_name_once() -> None:
    page = program("api_page")
    names = [name for group in page.GROUPS.values() for name in group]
    assert sorted(names) == sc.__all__


def program(name: str) -> ModuleType:
    """A program of docs/, loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
