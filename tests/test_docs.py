"""What the documents say is run, or checked against the code."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import torch

import scalecurv
from scalecurv.cli.main import main
from scalecurv.measures import MEASURES
from scalecurv.quantities import CHAIN, NAMES
from scalecurv.quantities import QUANTITIES as ALL_QUANTITIES
from scalecurv.statistics.estimate import Status
from tests.loops import each

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
QUANTITIES = (ROOT / "docs" / "quantities.md").read_text()
GEOMETRY = (ROOT / "docs" / "geometry.md").read_text()
CHECKPOINTS = (ROOT / "docs" / "checkpoints.md").read_text()
LOSSES = (ROOT / "docs" / "losses.md").read_text()
JOBS = (ROOT / "jobs" / "README.md").read_text()
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands() -> list[str]:
    """Every line of a bash block that calls scalecurv, comments cut."""
    pages = [page for page in PAGES if page.name not in ("api.md", "cli.md")]
    more = (ROOT / name for name in ("README.md", "jobs/README.md", "CONTRIBUTING.md"))
    texts = [page.read_text() for page in (*pages, *more)]
    lines = [line for text in texts for block in blocks(text, "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("scalecurv ")]


def test_the_ten_lines_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    (program,) = blocks(README, "python")
    assert sum(1 for line in program.splitlines() if line) <= 10
    held: dict[str, Any] = {}
    exec(program, held)
    assert held["R"].shape == (195, 195)
    trace, extreme, both, *tables = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[\d.]+", trace)  # exact
    assert re.fullmatch(r"[\d.]+", extreme)  # of 195 parameters
    assert re.fullmatch(r"-?[\d.]+ \d+", both)  # both exact
    assert [line.split()[0] for line in tables[:4]] == ["lambda_max", "lambda_min", "trace", "trace_h2"]
    assert [line.split()[0] for line in tables[-5:]] == ["1", "2", "3", "4", "5"]


def test_the_programs_on_geometry_print_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    pointed, rescaled = blocks(GEOMETRY, "python")
    exec(pointed, {})
    assert f"prints `{capsys.readouterr().out.strip()}`" in GEOMETRY
    exec(rescaled, {})
    assert f"```\n{capsys.readouterr().out}```" in GEOMETRY


def test_the_loss_that_is_shown_is_a_loss() -> None:
    """One number a sample; with the exponent 0 it would be cross entropy, which it is far below near certainty."""
    (program,) = blocks(LOSSES, "python")
    names: dict[str, Any] = {}
    exec(program, names)
    y, f = torch.tensor([0, 1, 2]), torch.randn(3, 3, dtype=torch.float64)
    p = f.softmax(1)[torch.arange(3), y]
    torch.testing.assert_close(names["focal"](f, y), -((1 - p) ** 2) * p.log())


def test_operators_go_out_and_come_in_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out, back = (block for block in blocks(CHECKPOINTS, "python") if "linalg" in block)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    x = torch.randn(9, 3, dtype=torch.float64)
    names: dict[str, Any] = {"problem": scalecurv.Problem(model, (x, x[:, :2].sign()), loss="mse")}
    exec(out, names)
    assert names["values"].shape == (3,)
    exec(back, names | {"theirs": names["H"]})
    largest = capsys.readouterr().out.split()[0]
    assert float(largest) == pytest.approx(names["values"][-1], rel=0.01)


@each(line=commands())
def test_commands_in_the_documents_parse(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = main.get_command(click.Context(main), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def test_the_documents_hold_commands_to_check() -> None:
    found = {line.split()[1] for line in commands()}
    assert found == main.commands.keys()


@each(name=sorted(main.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = main.commands[name]
    assert f"Example: scalecurv {name} " in (command.help or "")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden and parameter.name not in ("engine", "form"):
            assert parameter.help, parameter.name


def test_every_quantity_measure_and_status_is_documented() -> None:
    written = QUANTITIES.replace("`chain_1` .. `chain_6`", " ".join(f"`chain_{i}`" for i in range(1, 7)))
    for name in (*NAMES, *MEASURES, *Status):
        assert f"`{name}`" in written, name


def test_unit_and_measure_of_every_quantity_are_those_of_its_row() -> None:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in QUANTITIES.splitlines() if line.startswith("| `")]
    found: dict[str, tuple[str, str]] = {}
    for names, _, units, measure, _ in (row for row in rows if len(row) == 5):
        listed = re.findall(r"`(\w+)`", names) if ".." not in names else list(CHAIN)
        listed = [name for name in listed if name in NAMES]
        each_unit = units.strip().split(", ") if "," in units else [units.strip()] * len(listed)
        found |= {name: (unit, measure.strip(" `")) for name, unit in zip(listed, each_unit, strict=True)}
    assert found == {q.name: (q.unit, q.measure) for q in ALL_QUANTITIES}


def test_links_in_the_documents_lead_somewhere() -> None:
    docs = ((page.parent, page.read_text()) for page in PAGES)
    for folder, text in ((ROOT, README), (ROOT / "jobs", JOBS), *docs):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert target.startswith("http") or (folder / target).exists(), target
