"""Which files of a directory are checkpoints, in the order of the numbers in their names."""

import re
from collections.abc import Sequence
from pathlib import Path

from scalecurv.errors import Misuse

SUFFIXES = (".pt", ".pth", ".safetensors")
# what training scripts leave beside the weights
IGNORED = re.compile(r"optim|sched|rng_state|training_args|scaler", re.IGNORECASE)


def discover(paths: Sequence[Path], exclude: Sequence[Path] = ()) -> list[Path]:
    """The checkpoint files among `paths` and below them, absolute, each once, `exclude` (data files) left out.

    A file named outright is taken whatever it is called. Raises Misuse for a path that does not exist, or
    where there is nothing to analyse.
    """
    barred = {path.resolve() for path in exclude}
    found: dict[Path, None] = {}
    for path in paths:
        if "://" in str(path):
            raise Misuse(f"{path} is a remote address; copy or mount it first, and give a path that every worker sees")
        if not path.exists():
            raise Misuse(f"{path} does not exist; give a directory of checkpoints, or checkpoint files")
        if path.is_file():
            found[path.resolve()] = None
            continue
        for file in sorted(path.resolve().rglob("*"), key=_natural):
            if file.suffix in SUFFIXES and not IGNORED.search(file.stem) and file.resolve() not in barred:
                found[file] = None
    if not found:
        where = ", ".join(str(path) for path in paths)
        raise Misuse(f"no checkpoint in {where}; looked for files that end in {', '.join(SUFFIXES)}")
    return list(found)


def _natural(path: Path) -> list[tuple[int, str]]:
    """ckpt_2 before ckpt_10: runs of digits compare as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path)) if part]
