"""The second derivative of outputs along one parameter tensor, by autograd: zero to the last bit where it is affine."""

from collections.abc import Mapping

import torch
from torch import Tensor

SEED = 20


def without_curvature(f: Tensor, leaves: Mapping[str, Tensor], names: list[str]) -> frozenset[str]:
    """Return the names of those leaves W with (d^2 s / dW^2) v = 0.0 in every entry, s = sum_k c_k f_k.

    c and v are normal, drawn by a fixed seed; v lies in W alone. `f` carries the graph from all `leaves`. Each name
    costs one pass back through the graph of the gradient, cut down to what W reaches. Differences would not do: kinks
    that a step crosses have a slope of their own.
    """
    rng = torch.Generator().manual_seed(SEED)
    tensors = [leaves[name] for name in names]
    if not f.requires_grad or not names:
        return frozenset(names)
    s = (_normal(f, rng) * f).sum()
    slopes = torch.autograd.grad(s, tensors, create_graph=True, allow_unused=True)
    found = set()
    for name, W, slope in zip(names, tensors, slopes, strict=True):
        along = None if slope is None else (slope * _normal(W, rng)).sum()  # torch imports sympy where it is given v
        if along is None or not along.requires_grad:
            found.add(name)
            continue
        (bent,) = torch.autograd.grad(along, W, retain_graph=True, allow_unused=True)
        if bent is None or not bool((bent != 0).any()):
            found.add(name)
    return frozenset(found)


def _normal(like: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=rng, dtype=torch.float64).to(like.device, like.dtype)
