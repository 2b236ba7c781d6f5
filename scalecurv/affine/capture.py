"""One pass forward in which every operation that takes a parameter, and is linear in it, is recorded.

An operation is recognised by the very tensor that it takes, whatever module it stands in. It is given that tensor
without its graph: a parameter that is in the graph of the outputs nevertheless is used in another way too.
"""

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from scalecurv.affine.entrywise_uses import ENTRYWISE
from scalecurv.affine.linear_uses import LINEAR, Uses
from scalecurv.affine.uses import Use
from scalecurv.autodiff.backends import nodes
from scalecurv.problem.forward import Forward
from scalecurv.samples.nested import Inputs, tensors_in

RECORDED = LINEAR | ENTRYWISE
SIGNATURES = {record: inspect.signature(record) for record in RECORDED.values()}
_IN_PLACE = """
    get size dim numel stride len is_floating_point type_as clone detach to float double half contiguous view reshape
    flatten unflatten transpose permute movedim swapaxes t unsqueeze squeeze expand expand_as cat concat stack chunk
    split unbind narrow select pad unfold zeros_like ones_like new_zeros new_ones add sub mul div true_divide neg radd
    iadd rsub isub rmul imul truediv rtruediv rdiv itruediv idiv pow abs square sqrt rsqrt exp log sin cos tanh
    sigmoid relu relu6 leaky_relu prelu elu selu celu gelu silu mish softplus softsign logsigmoid tanhshrink hardtanh
    hardswish hardsigmoid hardshrink softshrink threshold clamp clamp_min clamp_max rrelu glu softmax log_softmax
    softmin mean sum var std norm linalg_vector_norm normalize layer_norm group_norm rms_norm batch_norm instance_norm
    local_response_norm dropout feature_dropout max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d interpolate upsample pixel_shuffle scaled_dot_product_attention multi_head_attention_forward
    one_hot
"""  # operations that leave each sample in its place, by name; a matrix product may move it
IN_PLACE = frozenset(_IN_PLACE.split())
WITH_WEIGHT = frozenset(("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "embedding"))
VIEWS = {  # operations on a parameter after which its gradient has the same square
    getattr(home, name)
    for home in (torch, Tensor)
    for name in ("unsqueeze", "squeeze", "transpose", "t", "permute", "flatten", "reshape", "movedim", "swapaxes")
} | {Tensor.view, Tensor.__getitem__, *(getattr(Tensor, name).__get__ for name in ("T", "mT"))}
# attention without its check for modes, so that the operations inside are seen
ATTENTION = types.FunctionType(
    F.multi_head_attention_forward.__code__,
    {**F.multi_head_attention_forward.__globals__, "has_torch_function": lambda tensors: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)


@dataclass(frozen=True)
class Captured:
    """Outputs f (B, D) with their graph, and the recorded uses of each parameter.

    `elsewhere` are the parameters on which f depends by other ways. `chosen` is True where the model may put samples
    into an order that depends on them, as by an index, or by a product with a matrix that it computes.
    """

    f: Tensor
    uses: Mapping[str, list[Use]]
    elsewhere: frozenset[str]
    chosen: bool


def capture(forward: Forward, parts: Mapping[str, Tensor], names: frozenset[str], x: Inputs) -> Captured:
    """Return the pass forward at the parameters `parts`, in which uses of those of `names` are recorded."""
    leaves = {name: part.detach().requires_grad_(name in names) for name, part in parts.items()}
    recorder = _Recorder({id(leaf): name for name, leaf in leaves.items() if name in names}, len(x))
    with torch.enable_grad(), recorder:
        f = forward.outputs_at(leaves, x)
    reached = {id(getattr(node, "variable", None)) for node in nodes(f)}
    mixed = {name for name, sources in recorder.sources.items() if len(sources) > 1}
    elsewhere = frozenset(name for name, leaf in leaves.items() if id(leaf) in reached or name in mixed)
    return Captured(f, {name: recorder.uses.get(name, []) for name in names}, elsewhere, recorder.chosen)


class _Recorder(TorchFunctionMode):
    """The mode that records; it lets every other operation run as it is."""

    def __init__(self, names: dict[int, str], count: int):
        super().__init__()
        self.names, self.count = names, count
        self.views: list[Tensor] = []  # kept alive, so that no other tensor has the id of one of them
        self.sources: dict[str, set[int]] = {}
        self.uses: dict[str, list[Use]] = {}
        self.chosen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        record: Callable[..., Any] | None = RECORDED.get(func)
        if record is not None and torch.is_grad_enabled() and self.takes(record, args, kwargs):
            done = record(self, *args, **kwargs)
            if done is not None:
                return done
        if func is F.multi_head_attention_forward:
            with self:
                return ATTENTION(*args, **kwargs)
        self.chosen = self.chosen or _may_move(func, args, kwargs)
        out = func(*args, **kwargs)
        if func in VIEWS and args and (name := self.name(args[0])) is not None:
            self.alias(out, name)
        return out

    def takes(self, record: Callable[..., Any], args: Any, kwargs: Any) -> bool:
        """Return False for a call by other names than the recorder has, such as torch.mul(input=a, other=b)."""
        try:
            SIGNATURES[record].bind(self, *args, **kwargs)
        except TypeError:
            return False
        return True

    def alias(self, view: Tensor, name: str) -> Tensor:
        """Take a tensor for the parameter of this name: its gradient has the same square where only it is used."""
        self.views.append(view)
        self.names[id(view)] = name
        return view

    def name(self, tensor: object) -> str | None:
        """Return the name of the parameter that `tensor` is, None where it is none of those that are recorded."""
        return self.names.get(id(tensor))

    def keep(self, out: Tensor, uses: Uses) -> Tensor:
        """File the uses of parameters that are recorded, and return what the model goes on with.

        It is a copy: an operation in place would change `out` and its cotangent.
        """
        for parameter, use in uses:
            if (name := self.name(parameter)) is not None:
                self.uses.setdefault(name, []).append(use)
                self.sources.setdefault(name, set()).add(id(parameter))
        return out.clone()


def _may_move(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return False for an operation, of which no use was recorded, that leaves each sample in its place."""
    name = getattr(func, "__name__", "").lstrip("_").rstrip("_")
    if name in ("getitem", "setitem"):
        return any(True for _ in tensors_in((args[1:], kwargs)))
    if name in WITH_WEIGHT:
        weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
        return isinstance(weight, Tensor) and weight.requires_grad
    return name not in IN_PLACE and any(True for _ in tensors_in((args, kwargs)))
