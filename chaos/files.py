"""Damaged and malicious files: each is refused, or read as what it is; none crashes a reader, hangs it or runs."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from chaos.audit import TABLES, Tally, rows_of, rows_stored
from chaos.child import ask_each
from chaos.damage import DAMAGES, malicious
from chaos.processes import PYTHON, environment
from chaos.scene import OPTIONS, Scene, tensors
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from scalecurv.results.query import open_store
from scalecurv.store.reader import read_store

KINDS = ("parts", "index", ".pt", ".safetensors", "pickles")  # in turn, an equal share of each
MEANT_TO_LOAD = 3  # checkpoints, and parts, whose damage is looked at


@dataclass
class Questions:
    """Question i: file i, damaged in a way that i alone decides, is read as by a user; the answer is a verdict.

    refused, the same (damage where nothing rests), silent (other weights, and another fingerprint: a checkpoint has
    no checksum of its own), or a fault: `wrong: ...`, `unreadable: ...`, `code run: ...`.
    """

    folder: Path
    seed: int

    def __post_init__(self) -> None:
        self.marker = self.folder / "marker"
        self.stores = {"parts": self.folder / "parts-store", "index": self.folder / "index-store"}
        self.malicious = malicious(tensors(0), self.marker)
        self._whole = {kind: rows_stored(store) for kind, store in self.stores.items()}

    def __call__(self, i: int) -> str:
        kind, rng = KINDS[i % len(KINDS)], np.random.default_rng([self.seed, i])
        return self._store(kind, rng) if kind in self.stores else self._checkpoint(kind, rng)

    def _store(self, kind: str, rng: np.random.Generator) -> str:
        store = self.stores[kind]
        files = sorted((store / "parts").glob("*.h5")) if kind == "parts" else [store / "store.h5"]
        victim = files[rng.integers(len(files))]
        content = victim.read_bytes()
        damaged = DAMAGES[rng.integers(len(DAMAGES))](content, rng)
        try:
            victim.unlink()
            without = rows_stored(store)
            victim.write_bytes(damaged)
            broken, opened = read_store(store).broken, open_store(store)
            found = rows_of({name: opened.table(name) for name in TABLES})
        finally:
            victim.write_bytes(content)
        if opened.broken.keys() != broken.keys() or broken.keys() - {victim}:
            return f"unreadable: {sorted(map(str, broken))}, where {victim} is damaged"
        if found != (without if broken else self._whole[kind]):
            return f"wrong: other rows, {victim} {'refused' if broken else 'read as whole'}"
        return "refused" if broken else "the same"

    def _checkpoint(self, kind: str, rng: np.random.Generator) -> str:
        suffix = ".pt" if kind == "pickles" else kind
        path = self.folder / f"step_1{suffix}"
        if kind == "pickles":
            content = self.malicious[rng.integers(len(self.malicious))]
            damaged = content if rng.random() < 0.5 else DAMAGES[rng.integers(len(DAMAGES))](content, rng)
            original = None
        else:
            source = self.folder / f"whole_{rng.integers(MEANT_TO_LOAD)}{suffix}"
            original, damaged = load(source), DAMAGES[rng.integers(len(DAMAGES))](source.read_bytes(), rng)
        path.unlink(missing_ok=True)  # a new file: nobody has it mapped
        path.write_bytes(damaged)
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # of this child alone
        try:
            found = load(path)
        except CheckpointError:
            found = None
        if self.marker.exists():
            self.marker.rmdir()
            return "code run: the payload was unpickled"
        if found is None:
            return "refused"
        wanted = tensors(0) if original is None else original.tensors  # what lies beside a payload is read
        equal = found.tensors.keys() == wanted.keys() and all(
            torch.equal(found.tensors[name], tensor) for name, tensor in wanted.items()
        )
        if not equal and damaged in self.malicious:
            return "wrong: a malicious file was read as other weights"
        if not equal and original is not None and found.fingerprint == original.fingerprint:
            return "wrong: other weights under the same fingerprint"
        return "the same" if equal else "silent"


def damaged_files(scene: Scene, count: int, seed: int, say: Callable[[str], None]) -> list[Tally]:
    """Damage and read `count` files, an equal share of each kind; return a line of the table for each kind."""
    torch.set_num_threads(1)  # forked children inherit no threads
    home = scene.home("f")
    _write_stores(scene, home)
    for i in range(MEANT_TO_LOAD):
        torch.save({"model": tensors(i), "step": i}, home / f"whole_{i}.pt")
        (home / f"whole_{i}.safetensors").write_bytes(save(tensors(i)))
    questions = Questions(home, seed)
    _payloads_work(questions)
    tallies = {kind: Tally(f"files: {kind}", is_files=True) for kind in KINDS}

    def on_answer(i: int, answer: str) -> None:
        tally = tallies[KINDS[i % len(KINDS)]]
        tally.counts["kills"] += 1
        verdict, _, detail = answer.partition(": ")
        column = {"crash": "crashes", "hang": "hangs"}.get(verdict, verdict)
        if column in ("refused", "the same", "silent"):
            tally.notes[column] += 1
        else:
            tally.fault(column, f"file {i}: {detail}")
        if (i + 1) % 500 == 0 or i + 1 == count:
            say(f"files: {i + 1}, {sum(t.faults for t in tallies.values())} faults")

    ask_each(questions, count, on_answer)
    return list(tallies.values())


def _write_stores(scene: Scene, folder: Path) -> None:
    """Write three parts, and the index that `compact` makes of such a store."""
    run = folder / "run"
    run.mkdir()
    for name in ("data.npz", "problem.json", *(f"step_{i}.pt" for i in range(MEANT_TO_LOAD))):
        shutil.copy(scene.run / name, run / name)
    parts, index = folder / "parts-store", folder / "index-store"
    _scalecurv(folder, "analyze", run, parts, "--engine", "serial", *OPTIONS).check_returncode()
    shutil.copytree(parts, index)
    if _scalecurv(folder, "compact", index).returncode != 0 or not (index / "store.h5").exists():
        os.replace(min((index / "parts").glob("*.h5")), index / "store.h5")


def _scalecurv(home: Path, *words: object) -> "subprocess.CompletedProcess[bytes]":
    command = [PYTHON, "-m", "scalecurv", *map(str, words)]
    return subprocess.run(command, env=environment(home), capture_output=True, timeout=120, check=False)


def _payloads_work(questions: Questions) -> None:
    """Raise RuntimeError unless each malicious file runs its code where it is loaded without care."""

    def ask(i: int) -> str:
        path = questions.folder / "careless.pt"
        path.write_bytes(questions.malicious[i])
        with contextlib.suppress(Exception):  # bare pickles are no torch files: torch runs them, then complains
            torch.load(path, weights_only=False)
        if not questions.marker.exists():
            return "harmless"
        questions.marker.rmdir()
        return "ran"

    answers: list[str] = []
    ask_each(ask, len(questions.malicious), lambda i, answer: answers.append(answer))
    if set(answers) != {"ran"}:
        raise RuntimeError(f"some payload is harmless, so this proves nothing: {answers}")
