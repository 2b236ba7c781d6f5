"""The run that is swept under fire: tiny MLPs, the options, and the rows of an undisturbed serial sweep."""

import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chaos.audit import rows_stored
from chaos.processes import PYTHON, environment

WIDTHS = (6, 8, 3)
NUM_DATA = 30
COUNT = 72  # more than the 64 loose parts after which a store is compacted by itself: that too comes under fire
# tanh has no exact trace: a checkpoint takes a quarter of a second, most of it products
OPTIONS = ("--threads", "1", "--measure", "gradient,moments,extremes", "--max-matvecs", "600", "--rtol", "0.001")


@dataclass(frozen=True)
class Scene:
    """A folder for everything, the run in it, and the rows that each of its stores must hold at the end."""

    folder: Path
    run: Path
    count: int
    reference: Counter[tuple[Any, ...]]

    def home(self, name: str) -> Path:
        """Return a home for the processes of one kind; its path is short, for the sockets that lie below it."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return home


def write_scene(folder: Path, count: int = COUNT) -> Scene:
    """Write the run, and analyse it in a loop."""
    run, store = write_run(folder / "run", count), folder / "reference"
    words = [PYTHON, "-m", "scalecurv", "analyze", run, store, "--engine", "serial", *OPTIONS]
    subprocess.run(
        [str(word) for word in words], env=environment(folder / "s"), check=True, capture_output=True, timeout=300
    )
    return Scene(folder, run, count, rows_stored(store))


def write_run(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for step in range(count):
        torch.save({"model": tensors(step), "step": step}, folder / f"step_{step}.pt")
    x = np.random.default_rng(0).standard_normal((NUM_DATA, WIDTHS[0])).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(NUM_DATA) % WIDTHS[-1])
    said = {"data": "data.npz", "loss": "cross_entropy", "activation": "tanh"}
    (folder / "problem.json").write_text(json.dumps(said))
    return folder


def tensors(seed: int) -> dict[str, torch.Tensor]:
    """Return the state_dict of one MLP."""
    rng = torch.Generator().manual_seed(seed)
    found: dict[str, torch.Tensor] = {}
    for i, (before, after) in enumerate(pairwise(WIDTHS)):
        found[f"{2 * i}.weight"] = torch.randn(after, before, generator=rng) / before**0.5
        found[f"{2 * i}.bias"] = torch.randn(after, generator=rng) / 10
    return found
