"""Losses by name, with arguments that are literals: mse, cross_entropy(ignore_index=0), HuberLoss(delta=0.5)."""

import ast
import difflib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scalecurv.errors import Misuse, first_line, kind_and_line
from scalecurv.problem.loss import Criterion, Loss, PerSample, per_sample_loss, takes
from scalecurv.problem.losses.cross_entropy import cross_entropy, nll
from scalecurv.problem.losses.entries import absolute, huber, poisson, smooth_l1, squares
from scalecurv.problem.losses.logistic import logistic
from scalecurv.problem.losses.torch_modules import BY_NAME, FUNCTIONS, of_module

# by name: the arguments that a user may give, and their loss
LOSSES: dict[str, tuple[tuple[str, ...], Callable[..., Criterion]]] = {
    "mse": ((), squares),
    "cross_entropy": (("axis", "ignore_index", "weight", "label_smoothing"), cross_entropy),
    "logistic": (("weight", "pos_weight"), logistic),
    "huber": (("delta",), huber),
    "smooth_l1": (("beta",), smooth_l1),
    "l1": ((), absolute),
    "poisson": (("log_input", "full", "eps"), poisson),
    "nll": (("axis", "ignore_index", "weight"), nll),
}
TENSORS = ("weight", "pos_weight")  # arguments of torch's modules that are tensors there and lists here
# usual names of losses, to each of which another known name is nearer by its letters
ALIASES = {"bce": "logistic", "bce_with_logits": "logistic", "ce": "cross_entropy", "l2": "mse", "mae": "l1"}
LEGACY = ("size_average", "reduce")
RAISED = (TypeError, ValueError, RuntimeError, AssertionError, LookupError, AttributeError, ImportError, OSError)
LONGEST = 100_000  # characters: weights of thousands of classes
FORM = "give a name, as mse, or a name with literal arguments by name, as cross_entropy(label_smoothing=0.1)"


def loss_of(loss: str | Criterion | Loss | PerSample | nn.Module, name: str | None = None) -> Criterion:
    """Return the criterion of a name, a torch module, or a function (f, y) -> (B,) or (B, ...).

    `name` is what the user calls it, by default the name of the function or class. A class of modules is called without
    arguments, and so is a function that takes none and returns a loss. Raises Misuse for anything else.

    Example:
        >>> loss_of("huber(delta=0.5)").name, loss_of(nn.MSELoss()).reduction
        ('huber(delta=0.5)', 'mean')
    """
    if isinstance(loss, Criterion):
        return loss
    if isinstance(loss, Loss):
        return _ready(loss)
    if isinstance(loss, str):
        return named_loss(loss)
    return _of_object(loss, name)


def _of_object(loss: Any, name: str | None) -> Criterion:
    """Return the criterion of a module, a class of modules, or a function."""
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        loss = _made(name or loss.__name__, loss, {})
    elif (kind := _torch_function(loss)) is not None:
        return of_module(kind(), name or loss.__name__)
    if isinstance(loss, nn.Module):
        return of_module(loss, name)
    if not callable(loss):
        advice = "give x and y as one pair: Problem(model, (x, y), loss='mse')"
        raise Misuse(f"loss is of type {type(loss).__name__}, not a name or a function of (f, y); {advice}")
    called = str(name or getattr(loss, "__name__", type(loss).__name__))
    if _takes_nothing(loss):
        return loss_of(_made(called, loss, {}), called)
    return per_sample_loss(called, loss)


def _ready(loss: Loss) -> Criterion:
    return Criterion(loss.name, lambda shape, y: loss)


def check_loss_name(text: str) -> None:
    """Raise Misuse where `text` names no loss, or gives one arguments that it does not take."""
    named_loss(text)


def named_loss(text: str) -> Criterion:
    """Return the loss that `text` names: a name of this library or of torch.nn, with literal arguments by name.

    Nothing in the text is evaluated. Raises Misuse that lists the names, or the arguments of the one that is named.
    """
    name, given = _parsed(text)
    if name in LOSSES:
        options, make = LOSSES[name]
        _check_arguments(text, name, given, options)
        return make(text, **given)
    if name not in BY_NAME:
        raise Misuse(_unknown(name))
    kind = BY_NAME[name]
    options = tuple(o for o in inspect.signature(kind).parameters if o not in LEGACY)
    _check_arguments(text, name, given, options)
    return of_module(_made(text, kind, {o: _tensor(text, o, v) if o in TENSORS else v for o, v in given.items()}), text)


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments in `text`; raise Misuse where it has another form."""
    if not text.isprintable():
        raise Misuse(f"loss {_short(text)} holds characters that cannot be printed; {FORM}")
    stripped = text.strip()
    bare = stripped.partition("(")[0].strip()
    if "(" not in stripped:
        return bare.removeprefix("torch.").removeprefix("nn."), {}
    if len(text) > LONGEST:
        raise Misuse(
            f"loss {text[:40]!r}... has {len(text)} characters, more than {LONGEST}; write it as pkg.mod:function"
        )
    try:
        call = ast.parse(stripped, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deep
        raise Misuse(f"loss {_short(text)} cannot be read ({first_line(error)}); {FORM}") from error
    if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
        raise Misuse(f"loss {_short(text)} has another form; {FORM}")
    given = {}
    for keyword in call.keywords:
        try:
            given[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, RecursionError, MemoryError) as error:
            raise Misuse(f"loss {_short(text)}: {keyword.arg} is no literal, as 0.1, [1, 2] or True are") from error
    return bare.removeprefix("torch.").removeprefix("nn."), given


def _check_arguments(text: str, name: str, given: dict[str, Any], options: tuple[str, ...]) -> None:
    for option in given:
        if option not in options:
            takes = f"it takes {', '.join(options)}" if options else "it takes none"
            raise Misuse(f"loss {_short(text)}: {name} takes no argument {option!r}; {takes}")


def _made(text: str, make: Any, given: dict[str, Any]) -> Any:
    try:
        return make(**given)
    except RAISED as error:
        raise Misuse(
            f"loss {_short(text)} cannot be made ({kind_and_line(error)}); give the arguments that it wants"
        ) from error


def _tensor(text: str, option: str, value: Any) -> torch.Tensor | None:
    try:
        return None if value is None else torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Misuse(f"loss {_short(text)}: {option} is {value!r}; give a list of numbers") from error


def _unknown(name: str) -> str:
    """Return the message for an unknown name, which lists the known names, the nearest one first."""
    every = {known.lower(): known for known in (*BY_NAME, *LOSSES)}
    lower = name.lower().replace("-", "_")
    close = [ALIASES[lower]] if lower in ALIASES else difflib.get_close_matches(lower, every, 1)
    near = f" (did you mean {every[close[0]]}?)" if close else ""
    return (
        f"unknown loss {_short(name)}{near}; choose from {', '.join(LOSSES)}, a loss of torch.nn such "
        f"as CrossEntropyLoss, or pkg.mod:function"
    )


def _torch_function(loss: Any) -> type[nn.Module] | None:
    """Return the class of torch.nn that computes a function of torch.nn.functional, None for any other function."""
    try:
        return FUNCTIONS.get(loss)
    except TypeError:  # not hashable
        return None


def _takes_nothing(function: Any) -> bool:
    """Return True for a function that can be called without arguments and not with two."""
    return takes(function, 0) and not takes(function, 2)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]} ...")
