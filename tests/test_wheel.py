"""What pip installs: every file of the package is in the wheel, templates, scripts and styles too."""

import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

from tests.commands import ROOT

DATA = (".pyi", ".typed", ".html", ".css", ".js", ".mplstyle")  # what is read beside the modules


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where a builder is started, as PEP 517 has it
    with zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("scalecurv/")}
    files = [path for path in (ROOT / "scalecurv").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert held == {str(path.relative_to(ROOT)) for path in files if not path.name.startswith(".")}
    assert {Path(name).suffix for name in held} >= set(DATA)
