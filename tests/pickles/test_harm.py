"""Pickles and archives that would exhaust memory, stack or time, or break the process: one line each, or plain data."""

import gc
import io
import pickle
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scalecurv.errors import CheckpointError
from scalecurv.pickles.read import read_content
from tests.pickles.payloads import CONTAINERS, legacy, zipped

MODULUS = (1 << 61) - 1  # of the hashes of numbers
DEEP = 50_000
BILLION = b"".join(b"q%c0(%st" % (i, b"h%c" % i * 10) for i in range(40))  # a tuple of ten of the one before, ...
TEXT = b"V" + b"x" * 100_000 + b"\nq\x00"

REFUSED: dict[str, tuple[bytes, str]] = {
    "a key of tuples without end": (b"}" + b")" + b"\x85" * DEEP + b"Ns.", "a key of more than 1000 parts"),
    "a key of pairs without end": (b"}" + b"N" + b"N\x86" * DEEP + b"Ns.", "a key of more than 1000 parts"),
    "a billion parts as a key": (b"}N" + BILLION + b"Ns.", "a key of more than 1000 parts"),
    "a billion parts in a set": (b"\x8f(N" + BILLION + b"\x90.", "a key of more than 1000 parts"),
    "frozen sets without end": (b"(" * 2000 + b"N" + b"\x91" * 2000 + b".", "a key of more than 1000 parts"),
    "a size as a key": (b"}ctorch\nSize\n((" + b"K\x01" * 2000 + b"ttRNs.", "a key of more than 1000 parts"),
    "a long key again and again": (
        b"(" + b"N" * 990 + b"tq\x00}" + b"h\x00Ns" * 5000 + b".", "unpacks to far more than its size"
    ),
    "names of two long texts": (TEXT + b"(" + b"h\x00h\x00\x93" * 2000 + b"t.", "unpacks to far more than its size"),
    "places of the memo that collide": (b"Np%d\n." % (2 * MODULUS), "numbers its objects beyond all counting"),
    "a list as a key": (b"}]Ns.", "a list as a key"),
    "a dict as a member": (b"\x8f(}\x90.", "a dict as a key"),
    "copies of bytes": (TEXT + b"c_codecs\nencode\n(h\x00Vlatin1\ntR" * 2000, "unpacks to far more than its size"),
    "a string that is called": (b"Vx\n)R.", "calls a str"),
    "a call of a string": (b"cx\ny\nVz\nR.", "calls a Global with a str"),
    "an append to a number": (b"K\x01Na.", "appends to an int"),
    "an entry of a list": (b"]NNs.", "sets entries of a list"),
    "a name of numbers": (b"K\x01K\x02\x93.", "names a class by something else than text"),
    "a protocol of the future": (b"\x80\x06N.", "is a pickle of another kind (PROTO 6)"),
    "buffers out of band": (b"\x97.", "is a pickle of another kind (NEXT_BUFFER None)"),
}  # fmt: skip
DAMAGED: dict[str, bytes] = {
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
    "more bytes than memory": b"\x8e" + struct.pack("<Q", (1 << 63) - 1) + b"x.",
    "text that is not there": b"\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "an array that is not there": b"\x96" + struct.pack("<Q", 1 << 40) + b"x.",
    "an integer that is not there": b"\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x.",
    "an integer of negative size": b"\x8b" + struct.pack("<i", -1) + b"x.",
    "an integer of too many digits": b"I" + b"9" * 5000 + b"\n.",
    "a memo that nobody filled": b"h\x05.",
    "a mark that nobody set": b"N\x85t.",
    "nothing on the stack": b".",
    "no end": b"N",
}
PLAIN: dict[str, tuple[bytes, Callable[[Any], bool]]] = {
    "lists without end": (b"]" * DEEP + b"a" * (DEEP - 1) + b".", lambda found: len(found) == 1),
    "tuples without end": (b")" + b"\x85" * DEEP + b".", lambda found: len(found) == 1),
    "dicts without end": (b"}VA\n" * DEEP + b"Ns" + b"s" * (DEEP - 1) + b".", lambda found: len(found) == 1),
    "instances without end": (b"ca\nb\n)\x81" * DEEP + b"b" * (DEEP - 1) + b".", lambda found: found.name == "a.b"),
    "a billion parts": (b"N" + BILLION + b".", lambda found: len(found) == 10),
    "a place in the memo below zero": (b"Np-1\n.", lambda found: found is None),
    "a list in itself": (b"]q\x00h\x00a.", lambda found: found[0] is found),
    "a dict in itself": (b"}q\x00VA\nh\x00s.", lambda found: found["A"] is found),
    "a frame larger than the file": (b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.", lambda found: found is None),
    "integers whose hashes collide": (
        b"}" + b"".join(b"\x8a\x0c" + (MODULUS * (i + 9)).to_bytes(12, "little") + b"Ns" for i in range(20_000)) + b".",
        lambda found: len(found) == 20_000,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """No test may take more than 4 GB beyond what the process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 30), before[1]))
    yield
    gc.collect()
    resource.setrlimit(resource.RLIMIT_AS, before)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_content(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    assert len(message) < 600
    return message.removeprefix(f"{path} ")


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    for name, (pickled, reason) in REFUSED.items():
        for container in CONTAINERS.values():
            assert reason in refusal(tmp_path / "x.pt", container(pickled)), name


def test_what_is_cut_or_declares_too_much_is_refused(tmp_path: Path) -> None:
    for name, pickled in DAMAGED.items():
        for container in CONTAINERS.values():
            message = refusal(tmp_path / "x.pt", container(pickled))
            assert "it may be cut short" in message or "damaged" in message, name


def test_what_is_only_large_is_plain_data(tmp_path: Path) -> None:
    for name, (pickled, holds) in PLAIN.items():
        (tmp_path / "x.pt").write_bytes(zipped(pickled))
        assert holds(read_content(tmp_path / "x.pt")), name


def test_nothing_outlives_the_reading(tmp_path: Path) -> None:
    """A state that is given to a class, a dtype or a function is dropped: it would change them for the process."""
    for named in ("torch float32", "torch Tensor", "collections OrderedDict", "pathlib PosixPath", "numpy ndarray"):
        module, name = named.split()
        (tmp_path / "x.pt").write_bytes(zipped(f"c{module}\n{name}\n".encode() + b"}Vgone\nK\x01sb0N."))
        assert read_content(tmp_path / "x.pt") is None
    assert not any(hasattr(known, "gone") for known in (torch.float32, torch.Tensor, dict, Path, np.ndarray, np.dtype))


def archived(records: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w", **options) as archive:
            for name, content in records.items():
                archive.writestr(name.rstrip("*"), content)
    return buffer.getvalue()


def tensor_of(size: int, key: bytes = b"0", shape: bytes = b"K\x04\x85", stride: bytes = b"K\x01\x85") -> bytes:
    """Return the pickle of a float tensor, whose storage is said to have `size` numbers."""
    identity = b"(Vstorage\nctorch\nFloatStorage\nV" + key + b"\nVcpu\nI" + str(size).encode() + b"\ntQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + b"K\x00" + shape + stride + b"\x89}tR."


def test_archives_that_lie(tmp_path: Path) -> None:
    path, four, pickled = tmp_path / "x.pt", bytes(16), "a/data.pkl"
    good = {pickled: tensor_of(4), "a/data/0": four}
    for content, reason in (
        ({pickled: b"N.", "a/data.pkl*": b"N."}, "names one record twice"),
        ({pickled: b"N.", "b/data.pkl": b"N."}, "a zip file with 2 pickles of torch, not one"),
        ({"a/other": b"N."}, "a zip file with 0 pickles of torch, not one"),
        ({pickled: tensor_of(4)}, "lacks its record 'data/0'"),
        ({pickled: tensor_of(4, b"../../etc/passwd"), "a/data/0": four}, "lacks its record 'data/../../etc/passwd'"),
        ({**good, pickled: tensor_of(1 << 40)}, "has 16 bytes in 'data/0' and 4398046511104 by its pickle"),
        ({**good, pickled: tensor_of(-4)}, "declares a storage of no size"),
        ({**good, pickled: tensor_of(4, shape=b"K\x05\x85")}, "numbers lie outside of its storage"),
        ({**good, pickled: tensor_of(4, stride=b"K\x02\x85")}, "numbers lie outside of its storage"),
        ({**good, pickled: tensor_of(4, shape=b"J\xff\xff\xff\xff\x85")}, "whose shape or strides are none"),
        ({**good, pickled: tensor_of(4, stride=b"J\xff\xff\xff\xff\x85")}, "whose shape or strides are none"),
        ({**good, pickled: tensor_of(4, shape=b"Vx\n\x85")}, "whose shape or strides are none"),
        ({**good, "a/byteorder": b"middle"}, "has bytes in the order 'middle'"),
    ):  # fmt: skip
        assert reason in refusal(path, archived(content))
    path.write_bytes(archived(good))
    assert read_content(path).tolist() == [0.0] * 4


def test_archives_that_unpack_to_much(tmp_path: Path) -> None:
    path, size = tmp_path / "x.pt", 100 << 20
    deflated = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}
    bomb = archived({"a/data.pkl": tensor_of(size // 4), "a/data/0": bytes(size)}, **deflated)
    assert "unpacks to far more than its size" in refusal(path, bomb)
    path.write_bytes(archived({"a/data.pkl": tensor_of(4), "a/data/0": np.arange(4, dtype="f4").tobytes()}, **deflated))
    assert read_content(path).tolist() == [0, 1, 2, 3]  # packed by hand, and honest
    honest = archived({"a/data.pkl": tensor_of(4), "a/data/0": bytes(1000)}, **deflated)
    assert "bytes of its record 'data/0'" in refusal(
        path, honest.replace(struct.pack("<I", 1000), struct.pack("<I", 16))
    )
    assert "encrypted or packed" in refusal(path, archived({"a/data.pkl": b"N."}, compression=zipfile.ZIP_LZMA))


def test_records_that_overlap(tmp_path: Path) -> None:
    content = bytearray(archived({"a/data.pkl": b"N.", "a/data/0": bytes(16), "a/data/1": bytes(16)}))
    last = content.rindex(b"PK\x01\x02")
    content[last + 42 : last + 46] = content[content.index(b"PK\x01\x02", last - 80) + 42 :][:4]  # where another begins
    assert "has records that overlap" in refusal(tmp_path / "x.pt", bytes(content))


def test_tuples_whose_hashes_collide(tmp_path: Path) -> None:
    """The hash of a tuple is solved for its second number: a dict of such keys alone would compare each with all."""
    word, times, plus, begin = 1 << 64, 11400714785074694791, 14029467366897019727, 2870177450012600261
    keys: list[tuple[int, int]] = []
    for number in range(1, 4000):
        after = (begin + number * plus) % word
        after = (after << 31 | after >> 33) % word * times % word
        second = (7 - after) * pow(plus, -1, word) % word
        if second < MODULUS:  # the hash of no number is larger
            keys.append((number, second))
    assert len({hash(key) for key in keys}) == 1
    (tmp_path / "x.pt").write_bytes(zipped(pickle.dumps(dict.fromkeys(keys))))
    found = read_content(tmp_path / "x.pt")
    assert len(found) == len(keys) > 200
    assert sum(type(key) is tuple for key in found) == 100


def test_tensors_that_cost_more_than_they_hold(tmp_path: Path) -> None:
    path, size = tmp_path / "x.pt", 1 << 20
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\nq\x00"
    many = tensor_of(4, shape=b"(" + b"K\x01" * 64 + b"t", stride=b"(" + b"K\x01" * 64 + b"t")[:-2]
    many = rebuild + many[many.index(b"(Vstorage") - 1 :] + b"q\x01(" + b"h\x00h\x01R" * 20_000 + b"t."
    far = "unpacks to far more than its size"
    assert far in refusal(path, archived({"a/data.pkl": many, "a/data/0": bytes(16)}))

    long = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
    places = tensor_of(8, shape=b"K\x01" + long + b"\x86", stride=b"K\x00K\x00\x86").replace(b"Float", b"Long")
    values = tensor_of(4, b"1", shape=long + b"\x85", stride=b"K\x00\x85")
    sparse = (
        b"ctorch._utils\n_rebuild_sparse_tensor\n(Vtorch.sparse_coo\n(" + places[:-1] + values[:-1] + b"K\x05\x85ttR."
    )
    assert far in refusal(path, archived({"a/data.pkl": sparse, "a/data/0": bytes(64), "a/data/1": bytes(16)}))

    whole = b"(Vstorage\nctorch\nByteStorage\nV0\nVcpu\nI%d\n" % size
    part = whole + b"NtQ0" + whole + b"(V0\nK\x01I%d\nttq\x00" % (size - 8)  # at an odd place, so it is copied
    part += b"(" + b"ctorch._utils\n_rebuild_tensor_v3\n(h\x00QK\x00K\x01\x85K\x01\x85\x89Nctorch\nfloat32\ntR" * 200
    content = legacy(part + b"t.").removesuffix(pickle.dumps([], 2)) + pickle.dumps(["0"], 2)
    assert far in refusal(path, content + struct.pack("<q", size) + bytes(size))


def test_a_pickle_of_too_many_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecurv.pickles.machine.MOST", 1000)
    assert "more than 1000 operations" in refusal(tmp_path / "x.pt", pickle.dumps([None] * 2000, 2))
