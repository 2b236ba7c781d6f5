"""Damaged files of every format that rests on pickles are read or refused in one line; none crashes, hangs or runs.

Bytes of whole files are cut, flipped, zeroed and replaced, and operations of their pickles are deleted, repeated,
exchanged and inserted. Payloads are among the files, and the environment tells torch to run them.

    python -m chaos.pickles [count]
"""

import argparse
import functools
import io
import os
import pickle
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chaos.damage import DAMAGES, malicious
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError
from scalecurv.pickles.read import read_content

MEMORY = 8 << 30  # bytes beyond what the process has before
OPERATIONS = b"()}]0123.NabcdeghijklopqrstuRQPK" + bytes(range(0x80, 0x98))  # what may come in a pickle


def contents(marker: Path) -> dict[str, bytes]:
    """Return whole files by their kind, as small as they come."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 2)).sum().backward()
    optimizer.step()
    args = argparse.Namespace(
        lr=0.1, loss=nn.MSELoss(), best=np.float64(0.5), path=marker, part=functools.partial(max, 1)
    )
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "args": args, "array": np.ones((2, 3))}
    script = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(model), script)
    written = {
        "zip": _saved(content),
        "before zip files": _saved(content, _use_new_zipfile_serialization=False),
        "whole module": _saved({"model": model, "epoch": 3}),
        "TorchScript": script.getvalue(),
        **{f"pickle, protocol {protocol}": pickle.dumps(content, protocol) for protocol in (0, 2, 4, 5)},
    }
    harmful = malicious(model.state_dict(), marker)
    return {**written, **{f"payload {i}": file for i, file in enumerate(harmful)}}


def _saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def rewritten(content: bytes, rng: np.random.Generator) -> bytes:
    """Change operations of the pickle in a file: within its archive, so that what holds it stays whole."""
    if content[:2] != b"PK":
        return _changed(content, rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w") as other:
        for name in archive.namelist():
            record = archive.read(name)
            other.writestr(name, _changed(record, rng) if name.endswith("data.pkl") else record)
    return buffer.getvalue()


def _changed(pickled: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(pickled)
    for _ in range(rng.integers(1, 6)):
        place, length = int(rng.integers(len(changed))), int(rng.integers(1, 12))
        match int(rng.integers(4)):
            case 0:
                del changed[place : place + length]
            case 1:
                changed[place:place] = changed[place : place + length] * int(rng.integers(1, 50))
            case 2:
                changed[place] = OPERATIONS[rng.integers(len(OPERATIONS))]
            case _:
                changed[place:place] = bytes(rng.choice(list(OPERATIONS), length).tolist())
    return bytes(changed) or b"."


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (*DAMAGES, rewritten, rewritten, rewritten)


def read_mutated(folder: Path, count: int, seed: int) -> tuple[Counter[str], float]:
    """Return how many of `count` mutated files were read, and how many refused, and the seconds that the slowest took.

    Raises what a reader raises beside CheckpointError, and AssertionError where a payload ran or a message has lines.
    """
    marker, path, verdicts, slowest = folder / "marker", folder / "x.pt", Counter[str](), 0.0
    whole = contents(marker)
    kinds = list(whole)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        path.write_bytes(MUTATIONS[rng.integers(len(MUTATIONS))](whole[kinds[i % len(kinds)]], rng))
        began = time.monotonic()
        for reader in (read_content, load):
            try:
                reader(path)
                message = None
            except CheckpointError as error:
                message = str(error)
            except BaseException:
                print(f"file {i} of seed {seed}, a {kinds[i % len(kinds)]}", file=sys.stderr)
                raise
            verdicts[f"{reader.__name__}: {'refused' if message else 'read'}"] += 1
            assert not message or not ("\n" in message or "weights_only" in message), f"file {i}: {message}"
        slowest = max(slowest, time.monotonic() - began)
        assert not marker.exists(), f"file {i}: a payload ran"
    return verdicts, slowest


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        verdicts, slowest = read_mutated(Path(folder), count, seed=0)
    for verdict, number in sorted(verdicts.items()):
        print(f"{verdict:24} {number:6}")
    took = time.monotonic() - began
    print(f"{count} files in {took:.0f} s, the slowest in {slowest:.2f} s; 0 run, 0 crashes, 0 other errors")


if __name__ == "__main__":
    main()
