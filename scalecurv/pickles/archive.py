"""The records of a zip file of torch, read in place; every size that the file declares is checked."""

import struct
import sys
import zipfile
import zlib
from functools import cached_property
from typing import IO

import torch

from scalecurv.pickles.placeholder import Budget, Unreadable
from scalecurv.pickles.tensors import Storage, storage_of

_LOCAL = struct.Struct("<4s22xHH")  # the header before each record: magic, ..., lengths of name and extra field
_MAGIC = b"PK\x03\x04"
FORMATS = 16  # bytes that are read of a record such as `byteorder`


class Archive:
    """A zip file of torch: `data.pkl`, the storages that it names, and facts about the format, below one folder.

    `content` is the whole file, in memory or mapped. Raises Unreadable where it is no such archive.
    """

    def __init__(self, file: IO[bytes], content: memoryview, budget: Budget):
        self._content, self._budget = content, budget
        with zipfile.ZipFile(file) as directory:
            infos = directory.infolist()
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) < len(infos):
            raise Unreadable("names one record twice; it is damaged, or made to harm")
        pickled = [name for name in self._infos if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise Unreadable(f"is a zip file with {len(pickled)} pickles of torch, not one; save with torch.save")
        self._folder = pickled[0].removesuffix("data.pkl")
        self._check_apart()

    def names(self) -> list[str]:
        """Return the names of all records, without the folder that holds them."""
        return [name.removeprefix(self._folder) for name in self._infos]

    def record(self, name: str) -> memoryview:
        """Return the bytes of a record; raises Unreadable where it is missing or shorter than it declares."""
        info = self._infos.get(self._folder + name)
        if info is None:
            raise Unreadable(f"lacks its record {name[:40]!r}; it is damaged or cut short")
        start, end = self._extent(info)
        stored = self._content[start:end]
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(f"has its record {name[:40]!r} encrypted or packed; save with torch.save")
        if info.compress_type == zipfile.ZIP_DEFLATED:  # by another tool than torch
            self._budget.spend(info.file_size)
            stored = memoryview(bytearray(zlib.decompressobj(-15).decompress(stored, info.file_size + 1)))
        if len(stored) != info.file_size:
            raise Unreadable(f"has {len(stored)} of {info.file_size} bytes of its record {name[:40]!r}; it is damaged")
        return stored

    def storage(self, name: str, dtype: torch.dtype | None, size: int) -> Storage:
        """Return a record of `size` bytes as a storage; in a file that is mapped they are not read yet."""
        content = self.record(name)
        if len(content) != size:
            raise Unreadable(f"has {len(content)} bytes in {name[:40]!r} and {size} by its pickle; it is damaged")
        return storage_of(content, dtype, self._budget, self._swapped)

    @cached_property
    def _swapped(self) -> bool:
        """Return True where the byte order of the file is not that of this machine."""
        order = bytes(self.record("byteorder")[:FORMATS]).decode() if "byteorder" in self.names() else "little"
        if order not in ("little", "big"):
            raise Unreadable(f"has bytes in the order {order!r}, not little or big; it is damaged")
        return order != sys.byteorder

    def _extent(self, info: zipfile.ZipInfo) -> tuple[int, int]:
        """Return the offset of a record's first byte, and the offset behind its last one."""
        start = info.header_offset
        if not 0 <= start <= len(self._content) - _LOCAL.size:
            raise Unreadable("has a record beyond its end; it is damaged or cut short")
        magic, name, extra = _LOCAL.unpack_from(self._content, start)
        start += _LOCAL.size + name + extra
        end = start + info.compress_size
        if magic != _MAGIC or end > len(self._content):
            raise Unreadable("has a record without a header, or beyond its end; it is damaged or cut short")
        return start, end

    def _check_apart(self) -> None:
        """Raise Unreadable where two records share bytes, as those of zip bombs do."""
        behind = 0
        for info in sorted(self._infos.values(), key=lambda info: info.header_offset):
            if info.header_offset < behind:
                raise Unreadable("has records that overlap; it is damaged, or made to harm")
            behind = self._extent(info)[1]
