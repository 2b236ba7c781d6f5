"""The search for checkpoints in directories, in the order of the numbers in their names."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from scalecurv.checkpoints.distributed import is_distributed
from scalecurv.checkpoints.load import is_directory_checkpoint
from scalecurv.data.shards import by_numbers
from scalecurv.errors import Misuse, NothingFound

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
# files that training scripts write beside the weights; model_and_optim and model_optim_rng hold both
IGNORED = re.compile(
    r"(?<!and[-_])(?<!with[-_])optim(?!al|um|i[sz]ed|i[sz]ation|_rng)|sched(?!uled)|rng_state"
    r"|training_args|scaler|zero_pp_rank",
    re.IGNORECASE,
)
HF_SAFE, HF_PICKLED = "model.safetensors", "pytorch_model.bin"  # as Hugging Face libraries call them
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # a Path has lost one slash of s3://


def discover(paths: Sequence[Path], exclude: Sequence[Path] = ()) -> list[Path]:
    """Return the checkpoints among `paths` and below them, as absolute paths, each once.

    A checkpoint is a file or a directory; a sharded directory may hold other checkpoints in folders below it, as a
    Trainer writes them. A file in `paths` is taken whatever its name is. Files in `exclude` (the data), or below a
    directory in it, are left out. Symbolic links to directories are not followed; links to checkpoints that are listed
    anyway are left out. Raises Misuse for a path that does not exist, NothingFound where there is no checkpoint.
    """
    barred = {_real(path) for path in exclude}
    found: dict[Path, None] = {}
    for path in paths:
        if (remote := _REMOTE.match(str(path))) and not path.exists():
            raise Misuse(
                f"{remote[1]}://{str(path)[remote.end() :]} is a remote address; copy or mount it first, and give a "
                f"path that every worker sees"
            )
        if not path.exists():
            raise Misuse(f"{path} does not exist; give a directory of checkpoints, or checkpoint files")
        listed = [_given(path)] if path.is_file() or is_directory_checkpoint(path) else []
        if path.is_dir() and not is_distributed(path):
            listed += sorted(_below(path.resolve()), key=lambda file: by_numbers(str(file)))
        found.update(dict.fromkeys(file for file in listed if not barred & {_real(file), *_real(file).parents}))
    if not found:
        where = ", ".join(str(path) for path in paths)
        raise NothingFound(f"no checkpoint in {where}; looked for files that end in {', '.join(SUFFIXES)}")
    return [path for path in found if not (path.is_symlink() and _real(path) != path and _real(path) in found)]


def roots_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the directories that `paths` search: each path itself, or its parent where it is a checkpoint."""
    given = [path.resolve() for path in paths]
    return tuple(
        dict.fromkeys(path if path.is_dir() and not is_directory_checkpoint(path) else path.parent for path in given)
    )


def root_of(file: Path, roots: Sequence[Path]) -> Path:
    """Return the first of `roots` that a file is below, else the file's own directory, as for a link."""
    return next((root for root in roots if root in file.parents), file.parent)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises on a link to itself


def _given(path: Path) -> Path:
    """Return the absolute path of a checkpoint that the user gave, with links resolved.

    A link whose target lacks a checkpoint's suffix, as blobs of the Hugging Face cache do, keeps its own name.
    """
    real = _real(path)
    return real if real.is_dir() or real.suffix in SUFFIXES else _real(path.parent) / path.name


def _below(folder: Path) -> Iterator[Path]:
    """Yield the checkpoints below a directory, which is left out itself."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        whole = {name for name in folders if is_directory_checkpoint(here / name)}
        yield from (here / name for name in whole if not IGNORED.search(name))
        folders[:] = [name for name in folders if not (name in whole and is_distributed(here / name))]
        if is_directory_checkpoint(here):  # other files in it belong to it
            continue
        files = [here / name for name in names if Path(name).suffix in SUFFIXES and not IGNORED.search(Path(name).stem)]
        if HF_SAFE in names:  # the same weights twice
            files = [file for file in files if file.name != HF_PICKLED]
        yield from files
