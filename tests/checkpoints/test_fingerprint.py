"""Fingerprints: the same for the same weights however they were saved, another for any other weights."""

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scalecurv.checkpoints.content import fingerprint_of
from scalecurv.checkpoints.load import load
from scalecurv.data.fingerprint import fingerprint_of_arrays

STATE = {
    name: torch.randn(shape, generator=torch.Generator().manual_seed(i))
    for i, (name, shape) in enumerate({"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,)}.items())
}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


def strided() -> dict[str, Tensor]:
    return {name: t.T.contiguous().T if t.ndim == 2 else t for name, t in STATE.items()}


def one_storage() -> dict[str, Tensor]:
    flat = torch.cat([t.flatten() for t in STATE.values()])
    parts = flat.split([t.numel() for t in STATE.values()])
    return {name: part.view(t.shape) for (name, t), part in zip(STATE.items(), parts, strict=True)}


OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4, 3)}}, "param_groups": [{"lr": 0.1}]}
SAVED: dict[str, Callable[[Path], None]] = {
    "zip.pt": lambda path: torch.save(STATE, path),
    "legacy.pth": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "weights.safetensors": lambda path: save_file(STATE, path),
    "metadata.safetensors": lambda path: save_file(prefixed("model."), path, metadata={"step": "3"}),
    "model.pt": lambda path: torch.save({"model": STATE, "step": 3, "optimizer": OPTIMIZER}, path),
    "lightning.pt": lambda path: torch.save({"epoch": 1, "state_dict": prefixed("net."), "loops": {}}, path),
    "config.pt": lambda path: torch.save({"model": {"width": 4}, "model_state_dict": STATE}, path),
    "compiled.pt": lambda path: torch.save(prefixed("_orig_mod."), path),
    "parallel.pt": lambda path: torch.save({"module": prefixed("module._orig_mod.")}, path),
    "reversed.pt": lambda path: torch.save(dict(reversed(STATE.items())), path),
    "strided.pt": lambda path: torch.save(strided(), path),
    "views.pt": lambda path: torch.save(one_storage(), path),
    "parameters.pt": lambda path: torch.save({n: nn.Parameter(t) for n, t in STATE.items()}, path),
}


def test_how_weights_were_saved_does_not_show(tmp_path: Path) -> None:
    for name in SAVED:
        SAVED[name](tmp_path / name)
        checkpoint = load(tmp_path / name)
        assert checkpoint.fingerprint == fingerprint_of(STATE)
        assert set(checkpoint.tensors) == set(STATE)
        for tensor_name, tensor in checkpoint.tensors.items():
            assert torch.equal(tensor, STATE[tensor_name])
            assert not tensor.requires_grad


def renamed(old: str, new: str) -> dict[str, Tensor]:
    return {new if name == old else name: tensor for name, tensor in STATE.items()}


def one_bit() -> dict[str, Tensor]:
    bits = STATE["2.bias"].view(torch.int32).clone()
    bits[1] ^= 1
    return {**STATE, "2.bias": bits.view(torch.float32)}


CHANGED: dict[str, dict[str, Tensor]] = {
    "one bit": one_bit(),
    "a dtype": {**STATE, "0.bias": STATE["0.bias"].double()},
    "a dtype of equal bytes": {**STATE, "0.bias": STATE["0.bias"].view(torch.int32)},
    "a half precision": {name: t.bfloat16() for name, t in STATE.items()},
    "the other half precision": {name: t.half() for name, t in STATE.items()},
    "a shape": {**STATE, "0.weight": STATE["0.weight"].reshape(3, 4)},
    "one more dimension": {**STATE, "0.bias": STATE["0.bias"][None]},
    "a name": renamed("0.bias", "1.bias"),
    "two tensors swapped": {**STATE, "0.weight": STATE["2.weight"].T, "2.weight": STATE["0.weight"].T},
    "a tensor less": {name: t for name, t in STATE.items() if name != "2.bias"},
    "an empty tensor more": {**STATE, "4.bias": torch.empty(0)},
    "the sign of a zero": {**STATE, "2.bias": torch.tensor([0.0, -0.0])},
    "no sign of it": {**STATE, "2.bias": torch.tensor([0.0, 0.0])},
}


def test_whatever_changes_changes_the_fingerprint() -> None:
    prints = [fingerprint_of(STATE), *map(fingerprint_of, CHANGED.values())]
    assert len(set(prints)) == 1 + len(CHANGED)


def test_the_formula() -> None:
    """Stores written today are asked for tomorrow."""
    parts = [b"n|torch.int64|()|", (7).to_bytes(8, "little"), b"w|torch.float32|(1, 2)|", struct.pack("<2f", 0.5, -2)]
    known = {"w": torch.tensor([[0.5, -2.0]]), "n": torch.tensor(7)}
    assert fingerprint_of(known) == hashlib.sha256(b"".join(parts)).hexdigest()
    arrays = [b"x|float64|(2,)|", struct.pack("<2d", 1, 2), b"y|uint8|(1,)|", b"\x03"]
    assert fingerprint_of_arrays(y=np.array([3], np.uint8), x=np.array([1.0, 2.0])) == (
        hashlib.sha256(b"".join(arrays)).hexdigest()
    )


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.arange(6.0).reshape(3, 2), "y": np.arange(3)},
        {"x": np.arange(6.0).reshape(2, 3), "y": np.arange(3, dtype=np.int32)},
        {"x": np.arange(6.0).reshape(2, 3).astype(np.float32), "y": np.arange(3)},
        {"x": np.arange(6.0).reshape(2, 3), "z": np.arange(3)},
        {"x": np.nextafter(np.arange(6.0), 9).reshape(2, 3), "y": np.arange(3)},
    ],
)
def test_arrays_alike(other: dict[str, np.ndarray]) -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.arange(3)
    assert fingerprint_of_arrays(x=x, y=y) == fingerprint_of_arrays(y=y, x=np.asfortranarray(x))
    assert fingerprint_of_arrays(x=x, y=y) != fingerprint_of_arrays(**other)
