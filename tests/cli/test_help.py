"""The help: in groups, in sentences, in 80 columns, without a heavy import, and the page that is made of it."""

import importlib.util
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from scalecurv import __version__
from scalecurv.cli import analyze_options
from scalecurv.cli.main import main
from tests.commands import invoke

DOCS = Path(__file__).parents[2] / "docs"
HEAVY = ("torch", "ray", "numpy", "scipy", "pandas", "duckdb", "h5py", "matplotlib", "safetensors")
HEADINGS = ["Problem", "Model and files", "Measures", "Labels", "Arithmetic", "Machine", "Run", "Output", "Options"]


def headings(text: str) -> list[str]:
    return [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]


def test_commands_are_in_sections_each_in_one() -> None:
    listed = [name for names in main.sections.values() for name in names]
    assert sorted(listed) == sorted(main.commands)
    shown = invoke("--help").stdout
    assert headings(shown) == ["Options", *main.sections]
    for name in listed:
        assert f"\n  {name} " in shown


@pytest.mark.parametrize("name", ["analyze", "submit"])
def test_options_are_in_groups(name: str) -> None:
    assert headings(invoke(name, "--help").stdout) == HEADINGS


def test_every_option_is_described_by_a_sentence() -> None:
    wrong = [
        (name, option.name)
        for name, command in main.commands.items()
        for option in command.params
        if isinstance(option, click.Option)
        and not (
            (text := option.help or "")[:1].isupper() and text.rstrip("]").partition("  [default")[0].endswith(".")
        )
    ]
    assert wrong == []


def test_the_help_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        for words in ([], *([name] for name in main.commands)):
            lines = invoke(*words, "--help").stdout.splitlines()
            assert max(map(len, lines)) <= min(columns, 100), words


@pytest.mark.parametrize("words", [["--help"], ["analyze", "--help"], ["query", "--help"], ["--version"]])
def test_the_help_loads_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys; from scalecurv.cli.main import main; main(sys.argv[1:], standalone_mode=False)\n"
        f"print('loaded:', sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_measures_of_installed_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, "pkg.mod:Class", group) for name in ("sharpness", "barrier")]

    assert "Installed here" not in invoke("analyze", "--help").stdout
    monkeypatch.setattr(analyze_options, "entry_points", found)
    assert "Installed here: barrier, sharpness." in " ".join(invoke("analyze", "--help").stdout.split())


def test_the_page_is_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyze_options, "entry_points", lambda group: [EntryPoint("of_this_machine", "a:B", group)])
    spec = importlib.util.spec_from_file_location("cli_page", DOCS / "cli_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "cli.md").read_text() == module.page(), "run `make docs`"


def test_version_is_the_packages() -> None:
    assert invoke("--version").stdout == f"scalecurv, version {__version__}\n"
