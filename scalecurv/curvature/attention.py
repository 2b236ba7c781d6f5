"""Attention in the form that can be differentiated twice: the fused kernels have no second derivative."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within, scaled_dot_product_attention is made of products and a softmax, and Transformer modules of their parts.

    softmax(QK'/sqrt(d)) V is the same function in every kernel, to rounding; flash and memory-efficient kernels write
    down its first derivative alone, and the fast path of nn.TransformerEncoderLayer and nn.MultiheadAttention none.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
