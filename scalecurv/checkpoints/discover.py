"""The search for checkpoints in directories, in the order of the numbers in their names."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from scalecurv.checkpoints.distributed import is_distributed
from scalecurv.checkpoints.load import is_directory_checkpoint
from scalecurv.data.shards import by_numbers
from scalecurv.display import listing
from scalecurv.errors import Misuse, NothingFound

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
# files that training scripts write beside the weights; model_and_optim and model_optim_rng hold both
IGNORED = re.compile(
    r"(?<!and[-_])(?<!with[-_])optim(?!al|um|i[sz]ed|i[sz]ation|_rng)|sched(?!uled)|rng_state|random_states?"
    r"|training_args|trainer_state|(?<![a-z])(?:grad_?)?scaler|(?<![a-z])sampler|data_?loader|zero_pp_rank"
    r"|^(?:(?:train|test|val|valid|validation|dev|eval)[-_]?)?data(?:set)?(?:[-_](?:train|test|val|valid|dev|eval))?$",
    re.IGNORECASE,
)
HF_SAFE, HF_PICKLED = "model.safetensors", "pytorch_model.bin"  # as Hugging Face libraries call them
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # a Path has lost one slash of s3://


@dataclass(frozen=True)
class Globs:
    """Patterns of the checkpoints to take and to leave out, as a shell writes them (*, ?, [a-z]).

    A pattern is compared with the path below the directory that was given, with the name, and with the folders between
    them; * matches / too. Without `include` all are taken.

    Example:
        >>> globs = Globs(include=("step_*.pt",), exclude=("old",))
        >>> [globs.take(PurePath(path)) for path in ("a/step_1.pt", "a/best.pt", "old/step_1.pt")]
        [True, False, False]
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def take(self, below: PurePath) -> bool:
        """Return True where a checkpoint at this path below its directory is to be taken."""
        places = [part for place in (below, *below.parents) if place.name for part in (place.as_posix(), place.name)]
        wanted, barred = (
            any(fnmatchcase(place, glob.removeprefix("**/").removesuffix("/")) for place in places for glob in globs)
            for globs in (self.include, self.exclude)
        )
        return (wanted or not self.include) and not barred

    def __str__(self) -> str:
        """Return them as the options of a command line."""
        pairs = [*(("--include", glob) for glob in self.include), *(("--exclude", glob) for glob in self.exclude)]
        return " ".join(f"{option} {shlex.quote(glob)}" for option, glob in pairs)


EVERY = Globs()


def discover(paths: Sequence[Path], exclude: Sequence[Path] = (), globs: Globs = EVERY) -> list[Path]:
    """Return the checkpoints among `paths` and below them, as absolute paths, each once.

    A checkpoint is a file or a directory; a sharded directory may hold other checkpoints in folders below it, as a
    Trainer writes them. A file in `paths` is taken whatever its name is, unless `globs` leave it out. Files in
    `exclude` (the data), or below a directory in it, are left out. Symbolic links to directories are not followed;
    links to checkpoints that are listed anyway are left out. Raises Misuse for a path that does not exist, NothingFound
    where there is no checkpoint.
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
    where = ", ".join(str(path) for path in paths)
    if not found:
        raise NothingFound(f"no checkpoint in {where}; looked for files that end in {', '.join(SUFFIXES)}")
    roots = roots_of(paths) if globs != EVERY else ()
    taken = [path for path in found if globs == EVERY or globs.take(path.relative_to(root_of(path, roots)))]
    if not taken:
        names = listing(path.relative_to(root_of(path, roots)).as_posix() for path in found)
        raise NothingFound(f"{globs} leaves none of {len(found)} checkpoint(s) in {where}: {names}")
    return [path for path in taken if not (path.is_symlink() and _real(path) != path and _real(path) in taken)]


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
