"""The flat coordinates of a model's trainable parameters; they are flattened here only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scalecurv.errors import Misuse


@dataclass(frozen=True)
class ParameterSpace:
    """R^P, parameter after parameter in the model's own order; a tied parameter counts once."""

    shapes: Mapping[str, torch.Size]

    @classmethod
    def of(cls, model: nn.Module) -> "ParameterSpace":
        """Return the space of all parameters of the model that require a gradient."""
        return cls({name: p.shape for name, p in model.named_parameters() if p.requires_grad})

    @property
    def size(self) -> int:
        """P, the number of trainable scalars."""
        return sum(shape.numel() for shape in self.shapes.values())

    @property
    def slices(self) -> dict[str, slice]:
        """The place of each parameter in a flat vector, by name."""
        result, start = {}, 0
        for name, shape in self.shapes.items():
            result[name] = slice(start, start + shape.numel())
            start += shape.numel()
        return result

    @property
    def layers(self) -> dict[str, slice]:
        """The place of each module's parameters, by the module's name; a parameter of the model itself by its own."""
        result: dict[str, slice] = {}
        for name, part in self.slices.items():
            layer = name.rpartition(".")[0] or name
            result[layer] = slice(result[layer].start if layer in result else part.start, part.stop)
        return result

    def restricted(self, pattern: str) -> "ParameterSpace":
        """Return the parameters in whose names `pattern` is found; raise Misuse for none, or an invalid pattern."""
        check_pattern(pattern)
        chosen = {name: shape for name, shape in self.shapes.items() if re.search(pattern, name)}
        if not chosen:
            known = ", ".join(list(self.shapes)[:8]) + (", ..." if len(self.shapes) > 8 else "")
            raise Misuse(f"params {pattern!r} is found in no name of a trainable parameter; there are {known}")
        return ParameterSpace(chosen)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return one vector (P,) from tensors by name."""
        return torch.cat([tensors[name].reshape(-1) for name in self.shapes])

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """Return views of `theta` (P,) by name, each in its own shape; of a block (P, k), each with k as its last axis.

        Raises Misuse where `theta` has another number of rows.
        """
        if theta.shape[:1] != (self.size,):
            got = tuple(theta.shape)
            raise Misuse(f"a vector of shape {got} for {self.size} parameters; give shape ({self.size},), or a block")
        parts = torch.split(theta, [shape.numel() for shape in self.shapes.values()])
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.view((*shape, *theta.shape[1:])) for (name, shape), part in named}


def check_pattern(pattern: str) -> None:
    """Raise Misuse where `pattern` is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        advice = "give one like '^0[.]' or 'weight$'"
        raise Misuse(f"params {pattern!r} is no regular expression ({error}); {advice}") from error
