"""Names that stand for another checkpoint: last, best and the like, often a copy of one that has a step."""

import re
from pathlib import Path

_WORDS = re.compile(r"(?<![a-z])(last|latest|newest|best|final|current)(?![a-z])", re.IGNORECASE)
_FOLDER = re.compile(r"((checkpoint|ckpt|model)[-_])?(last|latest|newest|best|final|current)", re.IGNORECASE)


def is_alias(path: Path) -> bool:
    """Whether a file or its folder is named for what it is, not for when it was written."""
    return _WORDS.search(path.stem) is not None or _FOLDER.fullmatch(path.parent.name) is not None
