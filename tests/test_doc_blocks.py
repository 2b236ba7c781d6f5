"""Every block of the documents runs, top to bottom of its page, or says above it why it does not."""

import contextlib
import io
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

import scalecurv as sc
from tests.commands import ROOT, invoke
from tests.doc_blocks import Block, blocks_of, written

DOCS = ROOT / "docs"
GENERATED = ("api.md", "cli.md", "gallery.md")  # whose programs are docstrings, helps and scripts, run as such
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page.name not in GENERATED)
SIZES, SAMPLES, STEPS = (6, 8, 3), 60, (0, 40, 120)
MEASURES = ("loss", "moments", "extremes", "curvature", "rank", "spectrum")


def network() -> torch.nn.Sequential:
    first, last = torch.nn.Linear(*SIZES[:2]), torch.nn.Linear(*SIZES[1:])
    return torch.nn.Sequential(first, torch.nn.ReLU(), last)


def train(run: Path, lr: float, seed: int) -> None:
    """Write the checkpoints of one short training, its data, its problem and its settings."""
    run.mkdir(parents=True)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(SAMPLES, SIZES[0])).astype(np.float32), rng.integers(0, SIZES[-1], SAMPLES)
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            torch.save(model.state_dict(), run / f"step_{step}.pt")
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    np.savez(run / "data.npz", x=x, y=y)
    problem = {"data": "data.npz", "loss": "cross_entropy", "activation": "relu"}
    (run / "problem.json").write_text(json.dumps(problem))
    (run / "run.json").write_text(json.dumps({"lr": lr, "seed": seed}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages take for granted: runs/a and runs/b, trained, and the store `results` of both."""
    folder = tmp_path_factory.mktemp("pages") / "world"
    for name, lr, seed in (("a", 0.1, 0), ("b", 0.2, 1)):
        train(folder / "runs" / name, lr, seed)
    sc.sweep(folder / "runs", folder / "results", measures=MEASURES, rtol=0.1, engine="serial", threads=1)
    return folder


def held(run: Path) -> dict[str, Any]:
    """Return the names that a reader of any page has already: a trained model, its data and its problem."""
    model, arrays = network(), np.load(run / "data.npz")
    model.load_state_dict(torch.load(run / f"step_{STEPS[-1]}.pt"))
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=SAMPLES)
    problem = sc.Problem(model, (x, y))
    mine = {"model": model, "x": x, "y": y, "loader": loader, "problem": problem, "theirs": sc.hessian(problem)}
    return {"sc": sc, "torch": torch, **mine}


def run_command(line: str, where: str) -> str:
    """Return what one line of a shell prints; only scalecurv's commands are run, in this process."""
    program, *words = shlex.split(line, comments=True)
    assert program == "scalecurv", f"{where}: {line}: only commands of scalecurv are run; mark it: not run: REASON"
    done = invoke(*words)
    assert done.exit_code == 0, f"{where}: {line}: {done.output}{done.exception or ''}"
    return done.stdout


def run_block(block: Block, where: str, names: dict[str, Any]) -> str:
    """Run one block and return what it prints; compare one that is of a file with the file."""
    if block.source:
        text = (ROOT / block.source).read_text()
        assert block.text in text, f"{where} is not as in {block.source}"
        return ""
    if block.language == "bash":
        return "".join(run_command(line, where) for line in block.commands())
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block.text, where, "exec"), names)
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_a_page(page: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for block in blocks_of(DOCS / page) if not block.reason]
    if not blocks:
        return
    here = shutil.copytree(world, tmp_path / "world")
    (here / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.manual_seed(0)
    names = {"__name__": page, **held(here / "runs" / "a")}
    with matplotlib.rc_context({"backend": "agg"}):
        for block in blocks:
            output = run_block(block, f"docs/{page}:{block.line}", names)
            if block.output is not None and os.environ.get("WRITE_PAGES"):
                written(DOCS / page, block, output)
            elif block.output is not None:
                assert output == block.output, f"docs/{page}:{block.line}: write it by WRITE_PAGES=1 pytest, if right"


def test_a_block_that_is_wrong_is_found(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    page = tmp_path / "page.md"
    mended = "```bash\nscalecurv show \\\n  results # all\n\n# nothing\n```\n"
    page.write_text(
        mended + "<!-- not run: ships -->\n```bash\nsail\n```\n<!-- from README.md -->\n```python\nx\n```\n"
    )
    shown, refused, taken = blocks_of(page)
    run_block(shown, "page", {})
    assert shown.commands() == ["scalecurv show    results # all"]
    assert (refused.reason, refused.line) == ("ships", 9)
    for wrong in (refused, taken, Block(1, "python", "1 / 0"), Block(1, "bash", "scalecurv show none"), shown):
        if wrong is not shown:
            with pytest.raises((AssertionError, ZeroDivisionError)):
                run_block(wrong, "page", {})
    page.write_text("<!-- not run -->\n```bash\nsail\n```\n")
    with pytest.raises(AssertionError, match="is no mark"):
        blocks_of(page)
