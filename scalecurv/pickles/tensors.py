"""Tensors on the CPU, made from the storages of a file and the strides that its pickle gives."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecurv.pickles.machine import Maker
from scalecurv.pickles.placeholder import Budget, Global, Placeholder, Unreadable

_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "QUInt8": "quint8", "QInt8": "qint8", "QInt32": "qint32", "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}  # fmt: skip
DIMENSION = 64  # bytes that each dimension of a tensor counts for
RANK, LARGEST = 64, 1 << 62  # the most dimensions that torch's loops take; numbers that its integers hold


@dataclass
class Storage:
    """The bytes of one or more tensors. `dtype` is None where only the tensors know theirs.

    `swapped` says that they are in the other order of bytes than this machine's. Copies are charged to `budget`.
    """

    content: torch.UntypedStorage
    dtype: torch.dtype | None
    budget: Budget
    swapped: bool = False
    _native: dict[torch.dtype, torch.UntypedStorage] = field(default_factory=dict)

    def native(self, dtype: torch.dtype) -> torch.UntypedStorage:
        """Return the bytes as numbers of `dtype` in this machine's order, aligned; tensors of one dtype share them."""
        if dtype not in self._native:
            aligned = self.content.data_ptr() % dtype.itemsize == 0
            content = self.content
            if self.swapped or not aligned:
                self.budget.spend(content.nbytes())
                content = content.clone()
            if self.swapped:
                content.byteswap(dtype)
            self._native[dtype] = content
        return self._native[dtype]


def storage_of(content: memoryview, dtype: torch.dtype | None, budget: Budget, swapped: bool = False) -> Storage:
    """Return writable bytes as a storage that shares their memory."""
    bytes_of = torch.frombuffer(content, dtype=torch.uint8) if len(content) else torch.empty(0, dtype=torch.uint8)
    return Storage(bytes_of.untyped_storage(), dtype, budget, swapped)


@cache
def dtypes() -> dict[str, torch.dtype]:
    """Return torch's dtypes by the names that pickles use."""
    return {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}


@cache
def storage_dtypes() -> dict[str, torch.dtype | None]:
    """Return the dtypes of torch's classes of storages by their names, None where the tensors say it."""
    typed = {
        f"{place}.{kind}Storage": getattr(torch, dtype)
        for kind, dtype in _STORAGES.items()
        for place in ("torch", "torch.cuda")
    }
    return {**typed, **dict.fromkeys(("torch.storage.UntypedStorage", "torch.UntypedStorage"))}


def tensor_makers(budget: Budget, makers: dict[str, Maker]) -> dict[str, Maker]:
    """Return the makers by the names that pickles use; `makers` also make the data of a tensor of the user's type."""
    described: dict[str, Callable[[tuple[Any, ...]], Any]] = {
        "_rebuild_tensor": _tensor,
        "_rebuild_tensor_v2": _tensor,
        "_rebuild_tensor_v3": _tensor_of_dtype,
        "_rebuild_parameter": _first,
        "_rebuild_parameter_with_state": _first,
        "_rebuild_device_tensor_from_cpu_tensor": _first,
        "_rebuild_device_tensor_from_numpy": lambda arguments: _of_array(budget, arguments),
        "_rebuild_xla_tensor": lambda arguments: _of_array(budget, arguments),
        "_rebuild_sparse_tensor": lambda arguments: _sparse(budget, arguments),
        "_rebuild_qtensor": lambda arguments: _without_numbers(arguments[2], torch.uint8),
        "_rebuild_meta_tensor_no_storage": lambda arguments: _without_numbers(arguments[1], arguments[0]),
        "_rebuild_wrapper_subclass": lambda arguments: _without_numbers(arguments[2], arguments[1]),
        "_rebuild_nested_tensor": lambda arguments: _without_numbers((), torch.float32),
    }
    return {
        **{f"torch._utils.{name}": maker for name, maker in described.items()},
        "torch.nn.parameter.Parameter": _first,
        "torch.nn.parameter.Buffer": _first,
        **dict.fromkeys(
            (f"torch.nn.parameter.Uninitialized{kind}" for kind in ("Parameter", "Buffer")),
            lambda arguments: _without_numbers((), torch.float32),
        ),
        **dict.fromkeys(
            ("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"),
            lambda arguments: _of_type(makers, arguments),
        ),
        "torch.serialization._get_layout": lambda arguments: arguments[0],
        "torch.Size": _size,
        "torch.device": _device,
    }


def _strided(storage: Storage, offset: Any, size: Any, stride: Any, dtype: torch.dtype) -> Tensor:
    """Return a view of a storage; raises Unreadable where it would reach beyond."""
    numbers = (*size, *stride, offset) if type(size) in (tuple, torch.Size) and type(stride) is tuple else ("",)
    whole = all(type(number) is int and 0 <= number < LARGEST for number in numbers)
    if not whole or len(size) != len(stride) or len(size) > RANK or math.prod(size) >= LARGEST:
        raise Unreadable("holds a tensor whose shape or strides are none; it is damaged")
    storage.budget.spend(DIMENSION * len(size))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if math.prod(size) else -1
    if (last + 1) * dtype.itemsize > storage.content.nbytes():
        raise Unreadable("holds a tensor whose numbers lie outside of its storage; it is damaged or cut short")
    return torch.empty(0, dtype=dtype).set_(storage.native(dtype), offset, size, stride)


def _tensor(arguments: tuple[Any, ...]) -> Any:
    """Return a tensor of (storage, offset, size, stride, requires grad, hooks, metadata)."""
    storage, offset, size, stride = arguments[:4]
    if type(storage) is not Storage or storage.dtype is None:
        return NotImplemented
    return _as_viewed(_strided(storage, offset, size, stride, storage.dtype), arguments[6:7])


def _tensor_of_dtype(arguments: tuple[Any, ...]) -> Any:
    """Return a tensor of (storage, offset, size, stride, requires grad, hooks, dtype, metadata)."""
    storage, offset, size, stride, _, _, dtype = arguments[:7]
    if type(storage) is not Storage or type(dtype) is not torch.dtype:
        return NotImplemented
    return _as_viewed(_strided(storage, offset, size, stride, dtype), arguments[7:8])


def _as_viewed(tensor: Tensor, metadata: tuple[Any, ...]) -> Tensor:
    """Return the tensor with the pending conjugation or negation that the metadata name."""
    pending = metadata[0] if metadata and type(metadata[0]) is dict else {}
    if pending.get("conj") is True and tensor.is_complex():
        tensor = torch.conj(tensor)
    return torch._neg_view(tensor) if pending.get("neg") is True and tensor.dtype.is_signed else tensor


def _first(arguments: tuple[Any, ...]) -> Any:
    """Return the tensor in the first argument, such as the data of a parameter."""
    return arguments[0] if arguments and type(arguments[0]) is Tensor else NotImplemented


def _of_array(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return a tensor of (array, dtype, device, requires grad), as tensors of other devices are saved."""
    array, dtype = arguments[:2]
    if type(array) is not np.ndarray or array.dtype.kind not in "biufc" or type(dtype) is not torch.dtype:
        return NotImplemented
    budget.spend(array.size * dtype.itemsize)
    return torch.from_numpy(array.copy()).to(dtype)


def _sparse(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    """Return a sparse tensor of (layout, (indices, values, size, ...)), one without numbers for compressed layouts.

    All indices are checked. Indices and values are charged in full, even where strides of 0 repeat one number.
    """
    layout, data = arguments
    if layout in ("torch.sparse_coo", torch.sparse_coo):
        indices, values, size = data[:3]
        if not (type(indices) is type(values) is Tensor):
            return NotImplemented
        budget.spend(indices.nbytes + values.nbytes)
        return torch.sparse_coo_tensor(indices, values, tuple(size), check_invariants=True)
    return _without_numbers((), torch.float32)


def _without_numbers(size: Any, dtype: Any) -> Tensor:
    """Return a meta tensor, which has a shape and no numbers, for a tensor without a dense layout."""
    known = type(size) in (tuple, torch.Size) and all(type(n) is int and 0 <= n < LARGEST for n in size)
    shape = size if known and len(size) <= RANK and math.prod(size) < LARGEST // 16 else ()
    return torch.empty(shape, dtype=dtype if type(dtype) is torch.dtype else torch.float32, device="meta")


def _of_type(makers: dict[str, Maker], arguments: tuple[Any, ...]) -> Any:
    """Return the plain tensor of (maker, type, its arguments, state): a class of the user's own is left out."""
    maker = makers.get(arguments[0].name) if type(arguments[0]) is Global else None
    plain = maker(arguments[2]) if maker and type(arguments[2]) is tuple else NotImplemented
    kind = arguments[1].name if type(arguments[1]) is Global else "torch.Tensor"
    return plain if type(plain) is Tensor else Placeholder(kind, arguments)


def _size(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case ():
            return torch.Size()
        case (tuple() | list() as size,) if all(type(n) is int and 0 <= n < LARGEST for n in size):
            return torch.Size(size)
    return NotImplemented


def _device(arguments: tuple[Any, ...]) -> Any:
    return ":".join(map(str, arguments)) if all(type(part) in (str, int) for part in arguments) else NotImplemented
