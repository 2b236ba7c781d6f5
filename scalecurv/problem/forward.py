"""The user's model as a function of theta: f_theta(x), one tensor from all that the model returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from scalecurv.autodiff.backends import stranger
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.errors import CheckpointError, Misuse, first_line
from scalecurv.problem.outputs import main_output, part_of, places_of_rows, rows_of, shape_of_row
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.user_model import arguments, quoted
from scalecurv.samples.nested import Inputs, described

WHOLE = "x holds whole numbers, which are given as indices: store it as floats where they are quantities"


@dataclass(frozen=True)
class Forward:
    """The model with its frozen parameters and buffers in `constants`, as a function of the others, flat theta (P,).

    `place` is the part of what the model returns that is its outputs: "" is all of it, ".logits" an attribute or a
    key, "[0]" a number or a key. `shape` is that of the outputs for one sample, () for a number.
    """

    model: nn.Module
    space: ParameterSpace
    constants: dict[str, Tensor]
    place: str = ""
    shape: tuple[int, ...] = ()

    @property
    def num_outputs(self) -> int:
        """D, the number of scalars that the model puts out for one sample."""
        return math.prod(self.shape)

    def returned(self, theta: Tensor, x: Inputs) -> Any:
        """Return whatever the model returns for a copy of x; raise CheckpointError that quotes it where it raises."""
        with twice_differentiable(), quoted(self.model, f"outputs for x of {described(x)}"):
            return self.called(theta, *arguments(self.model, x.clone()))

    def called(self, theta: Tensor, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return whatever the model returns for these arguments; what it raises passes."""
        return self._called_at(self.space.unflatten(theta), positional, named)

    def _called_at(self, parts: Mapping[str, Tensor], positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return functional_call(self.model, {**parts, **self.constants}, positional, named)

    def outputs_at(self, parts: Mapping[str, Tensor], x: Inputs) -> Tensor:
        """Return `outputs` where the free parameters are these tensors by name, which the model is given as they are.

        An operation of the model that takes a parameter then takes the very tensor, so that it can be recognised.
        """
        with twice_differentiable(), quoted(self.model, f"outputs for x of {described(x)}"):
            returned = self._called_at(parts, *arguments(self.model, x.clone()))
        return rows_of(part_of(returned, self.place), len(x))

    def outputs(self, theta: Tensor, x: Inputs) -> Tensor:
        """Return f_theta(x) of shape (B, D) in the dtype of the model; raise as `returned`, Misuse for no tensor."""
        return rows_of(part_of(self.returned(theta, x), self.place), len(x))

    def tried(self, theta: Tensor, sample: Inputs, shape: Any) -> "Forward":
        """Return the same with place and shape of the outputs, from at most two samples of a data set of `shape`.

        Raises Misuse where the model does not take x of this shape, writes to theta, or holds parameters that theta
        does not reach.
        """
        before, two = theta.clone(), sample[:2]
        try:
            returned = self.returned(theta, two)
        except CheckpointError as error:
            if (cause := error.__cause__) is None:
                raise
            hint = f"; {WHOLE}" if isinstance(sample, Tensor) and not sample.is_floating_point() else ""
            kind = "" if isinstance(cause, RuntimeError) else f"{type(cause).__name__}: "
            raise Misuse(f"the model does not take x of shape {shape}: {kind}{first_line(cause)}{hint}") from error
        place = self._place(returned, theta, sample)
        f = part_of(returned, place)
        row = shape_of_row(f, len(two))
        if (held := stranger(f)) is not None:
            raise Misuse(
                f"forward uses a parameter of shape {tuple(held.shape)} that it holds by another way than by name (a "
                f"list, a closure), so that theta does not reach it; use nn.ParameterList, or the module that has it"
            )
        if not torch.equal(before, theta):
            raise Misuse(
                "the model writes to its parameters when it is called, so that no point theta stands still; take that "
                "out of forward"
            )
        return replace(self, place=place, shape=row)

    def _place(self, returned: Any, theta: Tensor, sample: Inputs) -> str:
        """Return the place of the first tensor with one row per sample, in a batch of two samples and in one of three.

        One size is not enough: a tensor with one row per layer may have as many rows as there are samples.
        """
        if isinstance(returned, Tensor):
            return ""
        sizes = {count: sample[torch.arange(count) % len(sample)] for count in (2, 3)}
        tried = [places_of_rows(self.returned(theta, some), count) for count, some in sizes.items()]
        return main_output(returned, [place for place in tried[0] if place in tried[1]])
