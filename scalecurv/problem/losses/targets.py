"""Targets against the shape of the outputs: the checks that losses share, and the loss that fits given data."""

import math

import torch
from torch import Tensor

from scalecurv.errors import Misuse

IGNORED = -100  # the class that torch leaves out by default
TOLERANCE = 1e-4  # of a sum of probabilities


def one_tensor(name: str, y: object) -> Tensor:
    """Return the targets where they are one tensor; raise Misuse where they come in several parts."""
    if isinstance(y, Tensor):
        return y
    raise Misuse(f"y comes in several parts, and {name} takes one array; give that one, or a loss of your own")


def outputs_in_words(shape: tuple[int, ...]) -> str:
    """Return the shape of the outputs of N samples in words: "(N, 3)"."""
    return f"({', '.join(['N', *map(str, shape)])}{'' if shape else ','})"


def same_places(shape: tuple[int, ...], y: Tensor) -> bool:
    """Return True where y has one number for each output: in the outputs' shape, or as rows of D columns.

    Axes of length 1 may be left out or added.
    """
    D, given = math.prod(shape), tuple(y.shape[1:])
    return given == (D,) or [n for n in given if n != 1] == [n for n in shape if n != 1]


def is_yes_or_no(y: Tensor) -> bool:
    """Return True where all targets are 0 or 1."""
    return bool(((y == 0) | (y == 1)).all())


def class_axes(shape: tuple[int, ...], given: tuple[int, ...]) -> list[int]:
    """Return the axes of one sample's outputs without which they have the shape `given` of its classes."""
    return [k for k in range(len(shape)) if shape[:k] + shape[k + 1 :] == given]


def sums_to_one(y: Tensor, axis: int) -> bool:
    """Return True where y is not negative and sums to 1 along this axis, up to the rounding of its dtype."""
    total, eps = y.double().sum(axis), torch.finfo(y.dtype).eps
    bound = max(TOLERANCE, 4 * eps)
    return not bool((y < 0).any()) and bool(((total - 1).abs() <= bound).all())


def fitting(shape: tuple[int, ...], y: Tensor) -> str | None:
    """Return the name of the loss that takes targets like y for outputs of one sample of `shape`; None without one.

    Example:
        >>> fitting((3,), torch.tensor([0, 2])), fitting((3,), torch.tensor([[0, 1, 1]]))
        ('cross_entropy', 'logistic')
    """
    given, same = tuple(y.shape[1:]), same_places(shape, y)
    if y.is_floating_point():
        if not same:
            return None
        if is_yes_or_no(y):
            return "logistic"
        probabilities = given == shape and len(shape) == 1 and shape[0] > 1 and sums_to_one(y, 1)
        return "cross_entropy" if probabilities else "mse"
    axes = [k for k in class_axes(shape, given) if shape[k] > 1 and in_range(y, shape[k])]
    if axes:
        return "cross_entropy" if len(axes) == 1 else f"cross_entropy(axis={axes[0] + 1})"
    if not same:
        return None
    return "logistic" if is_yes_or_no(y) else "mse"


def in_range(y: Tensor, num_classes: int, ignored: int | None = IGNORED) -> bool:
    """Return True where all targets but the ignored ones are classes 0 .. num_classes - 1."""
    return bool(_classes_or(y, num_classes, ignored).all())


def _classes_or(y: Tensor, num_classes: int, ignored: int | None) -> Tensor:
    """Return True for each target that is a class or is ignored."""
    inside = (y >= 0) & (y < num_classes)
    return inside if ignored is None else inside | (y == ignored)


def advice(name: str, shape: tuple[int, ...], y: Tensor, wanted: str) -> str:
    """Return what to do with targets that loss `name` refuses: use the loss that fits them, else give the `wanted`."""
    fits = fitting(shape, y)
    return f"use {fits}, which fits them" if fits and fits.partition("(")[0] != name.partition("(")[0] else wanted


def numbers(name: str, shape: tuple[int, ...], y: object) -> Tensor:
    """Return targets with one number for each output as rows (N, D); raise Misuse for other shapes."""
    y, D = one_tensor(name, y), math.prod(shape)
    if not same_places(shape, y):
        outputs = "1 output" if D == 1 else f"{D} outputs" if len(shape) < 2 else f"outputs {outputs_in_words(shape)}"
        wanted = f"give y of shape {outputs_in_words(shape)}"
        raise Misuse(f"y has shape {tuple(y.shape)} but the model has {outputs}; {advice(name, shape, y, wanted)}")
    return y.reshape(len(y), D)


def classes(y: Tensor, num_classes: int, ignored: int | None = None) -> Tensor:
    """Return the classes as int64; raise Misuse where one is not below the number of classes and is not ignored.

    `ignored` is None for losses that leave no target out.
    """
    known = _classes_or(y, num_classes, ignored)
    if not known.all():
        counted = y if ignored is None else y[y != ignored]
        low, high, strange = int(counted.min()), int(counted.max()), y[~known].unique().tolist()
        hint = "give y - 1" if (low, high) == (1, num_classes) else "store y as floats for regression"
        marked = ignored is not None and len(strange) == 1 and (strange[0] < 0 or strange[0] > num_classes)
        if marked and bool((known & (y != ignored)).any()):
            hint = f"give ignore_index={strange[0]} if {strange[0]} marks targets that do not count"
        raise Misuse(
            f"y holds classes {low}..{high} but the model has {num_classes} outputs; classes run from 0 to "
            f"{num_classes - 1} ({hint})"
        )
    return y.long()


def coefficients(name: str, option: str, given: object) -> Tensor | None:
    """Return weights as a tensor of floats of its own; raise Misuse where they are no finite numbers of at least 0."""
    if given is None:
        return None
    try:
        found = torch.as_tensor(given).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Misuse(f"{name}: {option} is {given!r}; give a list of numbers") from error
    found = found if found.is_floating_point() else found.double()
    if not bool((found.isfinite() & (found >= 0)).all()) or not bool((found > 0).any()):
        raise Misuse(
            f"{name}: {option} holds a number that is negative or not finite, or zeros alone; give positive ones"
        )
    return found
