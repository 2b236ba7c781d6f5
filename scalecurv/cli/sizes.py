"""Numbers as people write them: bytes such as 2G, 1.5 GiB and 1e9, and lists of counts such as 1,4,16."""

import re
from typing import Any

import click

from scalecurv.errors import Misuse

_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)
WANTED = "bytes, or a number with K, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (powers of 1024), such as 2G or 2GiB"


def bytes_of(text: str) -> int:
    """Return the number of bytes that `text` gives, rounded to a whole one; raises ValueError where it is no size.

    The B may be left out: 2G is 2GB.

    Example:
        >>> [bytes_of(text) for text in ("2GB", "1.5 GiB", "500M", "1e9", "7")]
        [2000000000, 1610612736, 500000000, 1000000000, 7]
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size; give {WANTED}")
    number, letter, binary = match.groups()
    unit = (1024 if binary else 1000) ** _POWERS[letter.lower()] if letter else 1
    if not letter and number.lstrip("+-").isdigit():  # exact, however large
        return int(number)
    try:
        return round(float(number) * unit)
    except OverflowError as error:
        raise ValueError(f"{text!r} is more than any machine has; give {WANTED}") from error


class Bytes(click.ParamType):
    """A number of bytes, with or without a unit."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return bytes_of(value)
        except ValueError as error:
            option = param.opts[-1] if param else "a size"
            raise Misuse(f"{option}: {error}") from error


class Counts(click.ParamType):
    """Whole numbers, separated by commas."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdigit() for part in parts):
            option = param.opts[-1] if param else "a list"
            raise Misuse(f"{option}: {value!r} is no list of whole numbers; give some, such as 1,16,256")
        return tuple(map(int, parts))
