"""Pickles that do something when they are read carelessly: each operation that can call, set, import or hash."""

import contextlib
import copyreg
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

HERE, CODE = "tests.pickles.payloads", 240  # of the registry of extensions


class Acts:
    """Makes the directory that it is given, whatever is done with it."""

    def __new__(cls, path: str = "", **options: str) -> "Acts":
        made = super().__new__(cls)
        if path or options:
            made.act(path or options["path"])
        return made

    def act(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)

    append = add = __setstate__ = act

    def extend(self, paths: list[str]) -> None:
        self.act(paths[0])

    def __setitem__(self, key: str, value: str) -> None:
        self.act(value)


class Keyed(Acts):
    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)

    def __hash__(self) -> int:
        self.act(self.__dict__["path"])
        return 0


class Slotted:
    """Makes the directory that its attribute `slot` is set to."""

    @property
    def slot(self) -> str:
        return ""

    @slot.setter
    def slot(self, path: str) -> None:
        Acts(path)


def nested(marker: str) -> bytes:
    """Return a storage of a plain pickle, whose bytes hold the payload in their turn."""
    inner = io.BytesIO()
    torch.save(Reduced(marker), inner, _use_new_zipfile_serialization=False)
    return pickle.dumps(Reduced(inner.getvalue(), torch.storage._load_from_bytes), 2)


class Reduced:
    """Calls a function of one argument when it is unpickled."""

    def __init__(self, argument: Any, call: Callable[..., Any] = os.mkdir):
        self._made = call, (argument,)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._made


def live(marker: Path) -> dict[str, bytes]:
    """Return pickles by what they do; pickle.loads makes the directory `marker` by each."""
    text = b"V" + str(marker).encode() + b"\n"
    acts, keyed, slotted = (f"c{HERE}\n{name}\n".encode() for name in ("Acts", "Keyed", "Slotted"))
    made, mkdir = acts + b")\x81", b"cposix\nmkdir\n"
    statement = b"Vimport os; os.mkdir(%s)\n" % json.dumps(str(marker)).encode()
    function = b"ctorch._tensor\n_rebuild_from_type_v2\n(" + mkdir + b"ctorch\nTensor\n(" + text + b"t}tR."
    return {
        "REDUCE": mkdir + b"(" + text + b"tR.",
        "INST": b"(" + text + b"iposix\nmkdir\n.",
        "OBJ": b"(" + mkdir + text + b"o.",
        "NEWOBJ": acts + text + b"\x85\x81.",
        "NEWOBJ_EX": acts + b")}Vpath\n" + text + b"s\x92.",
        "BUILD": made + text + b"b.",
        "BUILD of slots": slotted + b")\x81N}Vslot\n" + text + b"s\x86b.",
        "APPEND": made + text + b"a.",
        "APPENDS": made + b"(" + text + b"e.",
        "ADDITEMS": made + b"(" + text + b"\x90.",
        "SETITEM": made + b"Vkey\n" + text + b"s.",
        "SETITEMS": made + b"(Vkey\n" + text + b"u.",
        "a key": b"}" + keyed + b")\x81}Vpath\n" + text + b"sbNs.",
        "a member": b"\x8f(" + keyed + b")\x81}Vpath\n" + text + b"sb\x90.",
        "STACK_GLOBAL": b"\x80\x04Vos\nVpath.os.mkdir\n\x93" + text + b"\x85R.",
        "EXT1": b"\x82" + bytes([CODE]) + text + b"\x85R.",
        "EXT2": b"\x83" + CODE.to_bytes(2, "little") + text + b"\x85R.",
        "EXT4": b"\x84" + CODE.to_bytes(4, "little") + text + b"\x85R.",
        "eval": b"cbuiltins\nexec\n(" + statement + b"tR.",
        "__builtin__": b"\x80\x02c__builtin__\nexec\n(" + statement + b"tR.",
        "a bound method": b"cbuiltins\ngetattr\n(" + made + b"Vact\ntR" + text + b"\x85R.",
        "a partial function": b"cfunctools\npartial\n(" + mkdir + text + b"tR)R.",
        "_reconstructor": b"ccopyreg\n_reconstructor\n(" + acts + b"cbuiltins\nobject\nNtR" + text + b"b.",
        "a type of tensor": function,
        "a parameter's state": b"ctorch._utils\n_rebuild_parameter_with_state\n(" + b"ctorch\nones\nK\x01\x85R"
        b"\x89}" + b"}Vslot\n" + mkdir + text + b"\x85RstR.",
        "bytes of a storage": nested(str(marker)),
    }


@contextlib.contextmanager
def registered() -> Any:
    """Let the registry of extensions lead to a function that acts."""
    copyreg.add_extension("posix", "mkdir", CODE)
    try:
        yield
    finally:
        copyreg.remove_extension("posix", "mkdir", CODE)


def zipped(pickled: bytes) -> bytes:
    """Return a file of torch.save whose pickle is `pickled`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")
    return buffer.getvalue()


def legacy(pickled: bytes) -> bytes:
    """Return a file of torch before 1.6 whose pickle is `pickled`."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    return b"".join(pickle.dumps(part, 2) for part in head) + pickled + pickle.dumps([], 2)


def beside(pickled: bytes) -> bytes:
    """Return a pickle of a dict that has a number, and the value of `pickled` beside it."""
    body = pickled[2:] if pickled[:1] == b"\x80" else pickled
    return b"\x80\x04}Va\nK\x01sVb\n" + body[:-1] + b"s."


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {"zip": zipped, "legacy": legacy, "plain": bytes}
