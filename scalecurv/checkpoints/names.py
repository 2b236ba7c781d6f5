"""Names of tensors without the names of wrappers, and the patterns of --ignore."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import takewhile

from scalecurv.display import listing, shown
from scalecurv.errors import CheckpointError, Misuse

# modules that wrap others at any depth: DDP, torch.compile, FSDP, activation checkpoints, DeepSpeed
INFIXES = frozenset((
    "module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module",
))  # fmt: skip
PREFIXES = ("state_dict.", "model.", "net.")  # attributes under which trainers hold the network
MOST_PREFIXES = 8  # of one name, one within the other
LONGEST_PATTERN = 60  # characters; the pattern in an advice is made of these first ones


def unwrapped(name: str) -> str:
    """Return a name without the modules that only wrap others, wherever they stand in it.

    Example:
        >>> unwrapped("_orig_mod.layers.0._checkpoint_wrapped_module.weight")
        'layers.0.weight'
    """
    *modules, leaf = name.split(".")
    return ".".join([*(module for module in modules if module not in INFIXES), leaf])


def unwrapped_names(names: Iterable[str], where: str, advice: str = "") -> dict[str, str]:
    """Return each name with its unwrapped one; raises CheckpointError where two names would become one."""
    found = {name: unwrapped(name) for name in names}
    shortest: dict[str, str] = {}
    twice: dict[str, str] = {}  # the longer of two names, and the shorter one
    for name in sorted(found, key=len):
        if (other := shortest.setdefault(found[name], name)) != name:
            twice[name] = other
    if twice:
        longer, shorter = next(iter(twice.items()))
        module = common_prefix(twice)
        rest = f"{ignoring_modules([module])} leaves out the longer" if module else ignoring(list(twice))
        raise CheckpointError(
            f"{where} has {shown(shorter)} and {shown(longer)}, which are one name without the modules that wrap "
            f"others; {advice or rest}"
        )
    return found


def canonical_names(names: Iterable[str], where: str = "the file") -> dict[str, str]:
    """Return each name with its canonical one: without wrappers, and without prefixes that all names share.

    Raises CheckpointError where two names would become one.

    Example:
        >>> canonical_names(["module.net.0.weight", "module.net.0.bias"])
        {'module.net.0.weight': '0.weight', 'module.net.0.bias': '0.bias'}
    """
    found = unwrapped_names(names, where)
    stripped = list(found.values())
    for _ in range(MOST_PREFIXES):
        prefix = next((p for p in PREFIXES if stripped and all(name.startswith(p) for name in stripped)), "")
        stripped = [name.removeprefix(prefix) for name in stripped]
    return dict(zip(found, stripped, strict=True))


@cache
def ignored(pattern: str) -> re.Pattern[str]:
    """Return the pattern of --ignore; raises Misuse where it is no regular expression."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Misuse(
            f"--ignore '{shown(pattern)}' is no regular expression ({error}); give one that is found in the names to "
            f"leave out, such as '^criterion[.]'"
        ) from error


def ignoring(names: Sequence[str]) -> str:
    """Return the advice to leave out exactly the tensors of these names: "leave it out with --ignore '^a[.]b$'"."""
    patterns = [f"{_quoted(name)}$" if len(name) <= LONGEST_PATTERN else _quoted(name) for name in names]
    return f"leave {'it' if len(names) == 1 else 'them'} out with {_option(patterns)}"


def ignoring_modules(prefixes: Sequence[str]) -> str:
    """Return the option that leaves out all tensors whose names begin with one of these: "--ignore '^teacher[.]'"."""
    return _option([_quoted(prefix) for prefix in prefixes])


def common_prefix(names: Iterable[str]) -> str:
    """Return the module that these names share, with its dot: "teacher." of teacher.0.weight and teacher.0.bias."""
    every = sorted(names)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(every[0], every[-1], strict=False)) if every else ()
    shared = "".join(character for character, _ in alike)  # of the first and the last, and so of all
    return shared[: shared.rfind(".") + 1]


def networks(prefixes: Mapping[str, Iterable[str]]) -> str:
    """Return the part of a message on several networks, from their prefixes and the names that each has in the file."""
    modules = [common_prefix(names) or prefix for prefix, names in prefixes.items()]
    kept = next(one for one in modules if not any(one != other and one.startswith(other) for other in modules))
    return f"{listing(modules)}; {ignoring_modules([m for m in modules if m != kept])} leaves only {shown(kept)}"


def _quoted(name: str) -> str:
    """Return the pattern of names that begin with this one; dots are written [.], which a shell leaves alone."""
    escaped = "".join(
        "[.]" if c == "." else re.escape(c) if c.isprintable() else c.encode("unicode_escape").decode()
        for c in name[:LONGEST_PATTERN]
    )
    return f"^{escaped}"


def _option(patterns: Sequence[str]) -> str:
    return f"--ignore {shlex.quote('|'.join(patterns))}"
