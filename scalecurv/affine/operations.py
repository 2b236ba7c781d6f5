"""The operations of torch of which it is known where they are linear, by the names of their arguments.

An operation that is missing here counts as smooth in all its arguments. So does every backward formula.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload


@dataclass(frozen=True)
class Rule:
    """An operation as the product of its arguments named in `factors`, plus a linear function of all others.

    It is smooth in the arguments named in `curved`. A `kinked` operation is linear in pieces, and smooth in complex
    numbers; the pieces of a `constant` one have derivative zero. The values of a `fresh` one depend on none.
    """

    factors: tuple[str, ...] = ()
    curved: tuple[str, ...] = ()
    kinked: bool = False
    constant: bool = False
    fresh: bool = False


LINEAR, KINKED, CONSTANT, FRESH = Rule(), Rule(kinked=True), Rule(kinked=True, constant=True), Rule(fresh=True)
_LINEAR = """
    add sub rsub neg sum nansum mean cumsum trace where
    cat stack repeat flip roll rot90 tril triu diag_embed block_diag
    clone lift copy fill zero squeeze unsqueeze transpose t
    _to_copy _unsafe_view _reshape_copy view_copy expand_copy permute_copy slice_copy select_copy detach_copy
    embedding gather take index _unsafe_index index_select index_add index_copy index_fill index_put _unsafe_index_put
    _index_put_impl masked_fill masked_select masked_scatter scatter scatter_add slice_scatter select_scatter
    diagonal_scatter as_strided_scatter _pack_padded_sequence
    avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d im2col col2im
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d _upsample_bilinear2d_aa upsample_bicubic2d
    _upsample_bicubic2d_aa upsample_trilinear3d
    _fft_r2c _fft_c2r _fft_c2c complex conj_physical _conj_physical
"""
_KINKED = """
    relu leaky_relu hardtanh threshold hardshrink softshrink hardsigmoid abs clamp clamp_min clamp_max
    maximum minimum fmax fmin max min amax amin aminmax sort topk kthvalue median nanmedian mode cummax cummin
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d
    fractional_max_pool3d max_unpool2d max_unpool3d nan_to_num
"""
_CONSTANT = """
    sign sgn round floor ceil trunc heaviside
"""
_FRESH = """
    zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_empty_strided
"""
_NORMED = Rule(("input", "weight"), ("input",))
_NORMED_BATCH = Rule(("input", "weight", "running_mean", "running_var"), ("running_mean", "running_var"))
_TRAINED_BATCH = Rule(("input", "weight"), ("input", "running_mean", "running_var"))
_IMAGE = Rule(("input", "weight"))
_OWN = Rule(("self", "weight"))
_MATRIX = Rule(("self", "mat2"))
RULES: dict[str, Rule] = {
    **dict.fromkeys(_LINEAR.split(), LINEAR),
    **dict.fromkeys(_KINKED.split(), KINKED),
    **dict.fromkeys(_CONSTANT.split(), CONSTANT),
    **dict.fromkeys(_FRESH.split(), FRESH),
    **dict.fromkeys(("mul", "vdot", "linalg_cross"), Rule(("self", "other"))),
    **dict.fromkeys(("mm", "bmm"), _MATRIX),
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable", "linear"), _IMAGE),
    **dict.fromkeys(("_prelu_kernel", "cudnn_convolution", "mkldnn_convolution", "_slow_conv2d_forward"), _OWN),
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "_fused_rms_norm"), _NORMED),
    **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training"), _NORMED_BATCH),
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d"), Rule(("input", "grid"), ("grid",))),
    "div": Rule(("self", "other"), ("other",)),
    "dot": Rule(("self", "tensor")),
    "mv": Rule(("self", "vec")),
    "addmm": Rule(("mat1", "mat2")),
    "addmv": Rule(("mat", "vec")),
    "addr": Rule(("vec1", "vec2")),
    "addbmm": Rule(("batch1", "batch2")),
    "baddbmm": Rule(("batch1", "batch2")),
    "addcmul": Rule(("tensor1", "tensor2")),
    "addcdiv": Rule(("tensor1", "tensor2"), ("tensor2",)),
    "lerp": Rule(("self", "end", "weight")),
    "_trilinear": Rule(("i1", "i2", "i3")),
    "_conv_depthwise2d": _OWN,
}


def arguments_of(operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names in the operation's schema."""
    names = (argument.name for argument in operation._schema.arguments)
    return dict(zip(names, args, strict=False)) | kwargs


def written_by(operation: OpOverload) -> list[str]:
    """Return the names of the arguments that the operation writes to."""
    return [a.name for a in operation._schema.arguments if a.alias_info is not None and a.alias_info.is_write]


def rule_of(operation: OpOverload, given: dict[str, Any]) -> Rule | None:
    """Return the rule of an operation called with the arguments `given`, None where it counts as smooth.

    An operation in place has the rule of the one that returns a new tensor. All views are linear.
    """
    if operation.namespace != "aten":
        return None
    if operation.is_view:
        return LINEAR
    name = operation._schema.name.removeprefix("aten::")
    if "reduce" in operation._overloadname:  # scatter with reduce="multiply" is a product
        return None
    if given.get("training") and name in ("native_batch_norm", "cudnn_batch_norm"):
        return _TRAINED_BATCH
    rule = RULES.get(name) or (RULES.get(name.removesuffix("_")) if written_by(operation) else None)
    known = {argument.name for argument in operation._schema.arguments}
    return rule if rule is not None and known.issuperset(rule.factors + rule.curved) else None


def reads_values(operation: OpOverload, given: dict[str, Any]) -> list[str]:
    """Return the arguments whose values become Python numbers or shapes, so that forward may branch on them.

    An index reads its boolean masks only: whole numbers do not change the shape of what they choose.
    """
    if not {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(operation.tags):
        return []
    if operation._schema.name in ("aten::index", "aten::_unsafe_index"):
        masks = [index for index in given["indices"] if index is not None and index.dtype in (torch.bool, torch.uint8)]
        return ["indices"] if masks else []
    return list(given)
