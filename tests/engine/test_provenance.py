"""Provenance names the programs that computed a number, wherever the package lies."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from scalecurv.engine import provenance
from scalecurv.engine.provenance import versions


def test_versions_are_those_installed() -> None:
    found = versions()
    assert set(found) == {"scalecurv", "ray", "numpy", "scipy", "h5py", "python", "host", "git"}
    assert found["numpy"] == version("numpy")
    assert found["python"] == platform.python_version()
    assert found["host"] == platform.node()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's file as if it lay in an empty directory."""
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "scalecurv" / "engine" / "provenance.py"))
    return tmp_path


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_outside_a_checkout_there_is_no_revision(checkout: Path) -> None:
    assert versions()["git"] == ""


def test_the_revision_says_whether_it_is_dirty(checkout: Path) -> None:
    git(checkout, "init", "--quiet")
    (checkout / "a").write_text("1")
    git(checkout, "add", "a")
    git(checkout, "commit", "--quiet", "-m", "first")
    revision = git(checkout, "rev-parse", "--short", "HEAD")
    assert versions()["git"] == revision
    (checkout / "a").write_text("2")
    assert versions()["git"] == f"{revision}-dirty"


def test_without_git_there_is_no_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert versions()["git"] == ""
