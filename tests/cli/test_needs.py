"""A command needs no more than its work does: no Ray for a small run; what is not installed is told in one line."""

from pathlib import Path
from typing import Any

import pytest

from scalecurv.cli.main import main
from scalecurv.engine import dispatch
from tests.commands import analyze, invoke
from tests.runs import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_a_small_run_starts_no_ray(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(dispatch, "num_cores", lambda: 8)
    monkeypatch.delattr(dispatch, "ray_session")
    result = invoke("analyze", run, tmp_path / "store", "--measure", "gradient")
    assert result.exit_code == 0
    assert result.stdout.endswith(" s on engine serial\n")


@pytest.mark.parametrize("package", ["torch", "ray", "ray.util"])
def test_an_installation_for_reading_says_what_it_lacks(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    def lacking(params: Any) -> None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("scalecurv.cli.analyze.sweep_of", lacking)
    result = analyze(run, tmp_path / "store")
    assert (result.exit_code, result.stdout) == (2, "")
    said = f"analyze needs torch and ray; run `pip install scalecurv` (No module named {package!r})"
    assert result.stderr == f"scalecurv: {said}\n"


@pytest.mark.parametrize(
    ("words", "package"),
    [(("plot", "x.png"), "matplotlib"), (("report", "x.html"), "plotly"), (("watch", "--once"), "rich")],
)
def test_a_command_that_shows_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], package: str
) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    command, last = words
    monkeypatch.setattr(main.commands[command], "callback", lacking)
    result = invoke(command, tmp_path, last if last.startswith("-") else tmp_path / last)
    said = f"{command} needs {package}; run `pip install {package}` (No module named {package!r})"
    assert (result.exit_code, result.stderr) == (2, f"scalecurv: {said}\n")


def test_a_module_of_our_own_that_is_not_there_is_a_bug(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(params: Any) -> None:
        raise ModuleNotFoundError("No module named 'scalecurv.nowhere'", name="scalecurv.nowhere")

    monkeypatch.setattr("scalecurv.cli.analyze.sweep_of", lacking)
    result = analyze(run, tmp_path / "store")
    assert result.exit_code == 3
    assert result.stderr.startswith("Traceback")
