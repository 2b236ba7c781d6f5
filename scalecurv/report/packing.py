"""Columns of numbers as text that a page unpacks: little-endian bytes, gzip, base64; equal columns are held once."""

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

Packed = list[Any]  # [number of the blob, name of the type]
TYPES = {"f8": "<f8", "i4": "<i4"}  # float64 with NaN and infinities as they are, int32
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_LEVEL = 6  # of gzip; random digits shrink no further


class Blobs:
    """The columns of one page, packed: every digit is kept, and a column that was packed before costs nothing.

    Example:
        >>> blobs = Blobs()
        >>> blobs.floats([1.0, float("nan")]), blobs.floats([1.0, float("nan")]), blobs.integers([3])
        ([0, 'f8'], [0, 'f8'], [1, 'i4'])
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._known: dict[tuple[str, bytes], int] = {}

    def floats(self, values: Iterable[Any]) -> Packed:
        """Return where a column of float64 is; a missing value becomes NaN."""
        return self._add("f8", np.asarray(values, dtype=np.float64))

    def integers(self, values: Iterable[int]) -> Packed:
        """Return where a column of int32 is."""
        return self._add("i4", np.asarray(values, dtype=np.int32))

    def words(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return a column of text: its different words, and the number of the word in each row."""
        texts = ["" if pd.isna(value) else str(value) for value in values]
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        return {"words": list(place), "codes": self.integers([place[text] for text in texts])}

    def _add(self, kind: str, values: np.ndarray) -> Packed:
        content = np.ascontiguousarray(values, dtype=TYPES[kind]).tobytes()
        key = (kind, content)
        if key not in self._known:
            self._known[key] = len(self.texts)
            self.texts.append(base64.b64encode(gzip.compress(content, _LEVEL, mtime=0)).decode("ascii"))
        return [self._known[key], kind]


def unpacked(blobs: Sequence[str], packed: Packed) -> np.ndarray:
    """Return a packed column as an array.

    Example:
        >>> blobs = Blobs()
        >>> where = blobs.floats([0.1, float("inf")])
        >>> unpacked(blobs.texts, where).tolist()
        [0.1, inf]
    """
    number, kind = packed
    return np.frombuffer(gzip.decompress(base64.b64decode(blobs[number])), dtype=TYPES[kind])


def embedded(data: Any) -> str:
    r"""Return JSON that may stand inside a script element: no text in it can end the element or begin a comment.

    Raises ValueError for NaN and infinities, which JSON does not have.

    Example:
        >>> embedded({"run": "</script><b>"})
        '{"run":"\\u003c/script\\u003e\\u003cb\\u003e"}'
    """
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)
