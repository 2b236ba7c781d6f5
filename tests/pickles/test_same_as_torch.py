"""Tensors equal those that torch reads, in every format, dtype and layout: values, shapes, strides and ties."""

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalecurv.errors import CheckpointError
from scalecurv.pickles.read import read_content

DTYPES = sorted(
    (d for d in vars(torch).values() if isinstance(d, torch.dtype) and not str(d).startswith("torch.q")), key=str
)


def storable(dtype: torch.dtype, zipped: bool) -> bool:
    """Return True for dtypes whose tensors torch can make, save and read again."""
    buffer = io.BytesIO()
    try:
        torch.save(torch.zeros(16, dtype=torch.uint8).view(dtype), buffer, _use_new_zipfile_serialization=zipped)
        torch.load(buffer.seek(0) or buffer, weights_only=True)
    except (RuntimeError, KeyError, AttributeError):
        return False
    return True


def many(zipped: bool = True) -> dict[str, Any]:
    """Return tensors of every dtype and layout."""
    numbers = torch.linspace(-3, 3, 24)
    parameter = nn.Parameter(numbers.clone())
    dtypes = {str(d): torch.arange(32, dtype=torch.uint8).view(d) for d in dict.fromkeys(DTYPES) if storable(d, zipped)}
    return {
        **dtypes,
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "transposed": numbers.reshape(4, 6).T,
        "sliced": numbers[3:20:4],
        "channels last": numbers.reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "expanded": torch.ones(1, 3).expand(5, 3),
        "conjugate": (numbers + 1j).conj(),
        "negative": torch._neg_view(numbers),
        "sparse": torch.eye(3).to_sparse(),
        "parameter": parameter,
        "tied": parameter,
        "a view of it": parameter.detach()[2:5],
        "nested": [{"a": (numbers, 1)}],
    }


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list | tuple):
        return type(found) is type(wanted) and all(map(same, found, wanted))
    if not isinstance(wanted, Tensor):
        return bool(found == wanted)
    if wanted.layout != torch.strided:
        return torch.equal(found.to_dense(), wanted.to_dense())
    bits = (t.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8) for t in (found, wanted))
    layouts = ((t.dtype, t.shape, t.stride(), t.storage_offset()) for t in (found, wanted))
    return len(set(layouts)) == 1 and torch.equal(*bits)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("zipped", [True, False])
def test_every_dtype_and_layout(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save(many(zipped), path, _use_new_zipfile_serialization=zipped)
    found = read_content(path)
    assert same(found, torch.load(path, weights_only=True))
    assert sum(name.startswith("torch.") for name in found) >= (20 if zipped else 12)
    assert found["parameter"].data_ptr() == found["tied"].data_ptr()
    assert found["a view of it"].data_ptr() == found["parameter"].data_ptr() + 8
    assert same(read_content(path, large=1), found)  # mapped


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles(tmp_path: Path, protocol: int) -> None:
    content = {"state": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict(), "lr": 0.1, "n": 2**70}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    assert same(read_content(tmp_path / "x.pkl"), content)


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    """As a machine of the other kind writes it: every number reversed, and the archive says so."""
    path = tmp_path / "x.pt"
    content = {
        "f": torch.linspace(0, 1, 5), "d": torch.ones(2, 2, dtype=torch.float64), "b": torch.ones(3).bfloat16(),
        "z": torch.ones(2) + 2j, "i": torch.arange(4), "u": torch.arange(4).to(torch.uint16),
    }  # fmt: skip
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(path, "w") as other:
        for i, name in enumerate(archive.namelist()):
            record = archive.read(name)
            if "/data/" in name:
                tensor = list(content.values())[int(name.rpartition("/")[2])]
                size = tensor.element_size() // (2 if tensor.is_complex() else 1)
                record = np.frombuffer(record, f"u{size}").byteswap().tobytes()
            other.writestr(name, b"big" if name.endswith("byteorder") else record)
            assert i < 20
    assert same(read_content(path), content)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_bytes_that_are_not_aligned(tmp_path: Path) -> None:
    """A zip file that another tool wrote again has numbers at odd places."""
    buffer, path = io.BytesIO(), tmp_path / "x.pt"
    torch.save(many(), buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(path, "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    found = read_content(path)
    strided = [t for t in found.values() if isinstance(t, Tensor) and t.layout == torch.strided]
    assert all(t.untyped_storage().data_ptr() % t.element_size() == 0 for t in strided)
    assert same(found, torch.load(buffer.seek(0) or buffer, weights_only=True))


def test_numbers_and_arrays_of_numpy(tmp_path: Path) -> None:
    arrays = [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.ones((2, 3), np.float16)),
        np.array(2.5),
        np.zeros((0, 2)),
        np.array(["a", "bc"]),
        np.arange(3, dtype=">i4"),
        np.arange(10)[::3],
        np.array([True]),
        np.ones(2, complex),
    ]
    scalars = [np.float64(0.5), np.int32(-3), np.bool_(1), np.float16(1.5), np.complex64(1 + 2j), np.str_("a")]
    for save in savers():
        save({"arrays": arrays, "scalars": scalars}, tmp_path / "x.pt")
        found = read_content(tmp_path / "x.pt")
        assert all(a.shape == b.shape and (a == b).all() for a, b in zip(found["arrays"], arrays, strict=True))
        assert [a.dtype for a in found["arrays"]] == [b.dtype.newbyteorder("=") for b in arrays]
        assert found["scalars"] == [scalar.item() for scalar in scalars]
        assert not any(isinstance(scalar, np.generic) for scalar in found["scalars"])


def savers() -> list[Callable[[Any, Path], Any]]:
    """Return writers of the same content: both formats of torch, and plain pickles of each protocol."""
    plain = [
        (lambda content, path, protocol=protocol: path.write_bytes(pickle.dumps(content, protocol)))
        for protocol in range(6)
    ]
    return [
        torch.save,
        lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
        lambda content, path: torch.save(content, path, pickle_protocol=4),
        *plain,
    ]


def test_tensors_without_plain_numbers_are_described(tmp_path: Path) -> None:
    """Quantized and nested tensors, and those that were never made, have a shape, and lie on no device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = {
            "quantized": torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8),
            "compressed": torch.eye(3).to_sparse_csr(),
            "meta": torch.ones(4, device="meta"),
            "to come": nn.LazyLinear(3).state_dict()["weight"],
        }
        torch.save(content, tmp_path / "x.pt")
    found = read_content(tmp_path / "x.pt")
    assert all(tensor.is_meta for tensor in found.values())
    assert found["quantized"].shape == (2, 3)


def test_what_is_empty_packed_or_no_file_of_torch(tmp_path: Path) -> None:
    for content, reason in (
        (b"", "is empty; write it again"),
        (b"<html>404</html>", "is no file that torch.save wrote, or it is damaged"),
        (b"\x1f\x8b" + bytes(50), "is packed with gzip; unpack it first"),
        (bytes(257) + b"ustar" + bytes(300), "is a tar archive"),
    ):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_content(tmp_path / "x.pt")
        assert str(caught.value).startswith(f"{tmp_path / 'x.pt'} {reason}")
