"""Which files of a directory are checkpoints, in the order of the numbers in their names."""

import re
from collections.abc import Sequence
from pathlib import Path

from scalecurv.errors import Misuse, NothingFound

SUFFIXES = (".pt", ".pth", ".safetensors")
# what training scripts leave beside the weights
IGNORED = re.compile(r"optim(?!al|um|i[sz]ed|i[sz]ation)|sched(?!uled)|rng_state|training_args|scaler", re.IGNORECASE)
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # a Path has lost one slash of s3://


def discover(paths: Sequence[Path], exclude: Sequence[Path] = ()) -> list[Path]:
    """The checkpoint files among `paths` and below them, absolute, each once, `exclude` (data files) left out.

    A file named outright is taken whatever it is called; symbolic links to directories below are not followed.
    Raises Misuse for a path that does not exist, or where there is nothing to analyse.
    """
    barred = {path.resolve() for path in exclude}
    found: dict[Path, None] = {}
    for path in paths:
        if (remote := _REMOTE.match(str(path))) and not path.exists():
            raise Misuse(
                f"{remote[1]}://{str(path)[remote.end() :]} is a remote address; copy or mount it first, and give a "
                f"path that every worker sees"
            )
        if not path.exists():
            raise Misuse(f"{path} does not exist; give a directory of checkpoints, or checkpoint files")
        if path.is_file():
            listed = [path.resolve()]
        else:
            files = (f for f in path.resolve().rglob("*") if f.suffix in SUFFIXES and not f.is_dir())
            listed = sorted((f for f in files if not IGNORED.search(f.stem)), key=_natural)
        found.update(dict.fromkeys(file for file in listed if file.resolve() not in barred))
    if not found:
        where = ", ".join(str(path) for path in paths)
        raise NothingFound(f"no checkpoint in {where}; looked for files that end in {', '.join(SUFFIXES)}")
    return list(found)


def _natural(path: Path) -> list[tuple[int, str]]:
    """ckpt_2 before ckpt_10: runs of digits compare as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path)) if part]
