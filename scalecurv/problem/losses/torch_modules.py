"""Loss modules of torch, by object: those whose second derivative is known, and the rest sample by sample."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from scalecurv.errors import Misuse, first_line
from scalecurv.problem.loss import Criterion, Loss, PerSample, Total, check_takes_two, each_entry, one_each
from scalecurv.problem.losses.cross_entropy import cross_entropy
from scalecurv.problem.losses.entries import absolute, huber, poisson, smooth_l1, squares
from scalecurv.problem.losses.logistic import logistic
from scalecurv.problem.losses.targets import numbers
from scalecurv.samples.nested import Inputs, Nested, mapped

REDUCTIONS: dict[str, str | None] = {"mean": "mean", "sum": "sum", "none": None, "batchmean": "mean"}
SOME = 64  # samples whose loss is taken at a time where a module's own mean is compared
CLOSE = 1e-5  # relative, of a module's own mean and that of its samples, in float64

Known = Callable[[str, Any, dict[str, Any]], Criterion]


def _classes(name: str, module: Any, form: dict[str, Any], **more: Any) -> Criterion:
    counted = form.pop("entries") or module.reduction == "sum"  # a sum divides by nothing: what counts must not be 0
    given = {"ignore_index": module.ignore_index, "weight": module.weight}
    return cross_entropy(name, torch_axis=True, counted=counted, **given, **more, **form)


# torch's module -> the loss of the same value: (name, module, {reduction, entries}) -> Criterion
KNOWN: dict[type[nn.Module], Known] = {
    nn.CrossEntropyLoss: lambda name, m, form: _classes(name, m, form, label_smoothing=m.label_smoothing),
    nn.NLLLoss: lambda name, m, form: _classes(name, m, form, normalised=True),
    nn.BCEWithLogitsLoss: lambda name, m, form: logistic(name, weight=m.weight, pos_weight=m.pos_weight, **form),
    nn.MSELoss: lambda name, m, form: squares(name, half=False, **form),
    nn.L1Loss: lambda name, m, form: absolute(name, **form),
    nn.SmoothL1Loss: lambda name, m, form: smooth_l1(name, beta=m.beta, **form),
    nn.HuberLoss: lambda name, m, form: huber(name, delta=m.delta, **form),
    nn.PoissonNLLLoss: lambda name, m, form: poisson(name, log_input=m.log_input, full=m.full, eps=m.eps, **form),
}
# one number for each output, against targets of the same shape: torch would broadcast others
BY_ENTRY = (nn.BCELoss, nn.KLDivLoss, nn.SoftMarginLoss, nn.HingeEmbeddingLoss, nn.MultiLabelSoftMarginLoss)
BY_SAMPLE = (nn.MultiMarginLoss, nn.MultiLabelMarginLoss)
OF_MORE: dict[type[nn.Module], str] = {
    nn.TripletMarginLoss: "(anchor, positive, negative)",
    nn.TripletMarginWithDistanceLoss: "(anchor, positive, negative)",
    nn.CosineEmbeddingLoss: "(x1, x2, y)",
    nn.MarginRankingLoss: "(x1, x2, y)",
    nn.CTCLoss: "(f, y) and the lengths of both",
    nn.GaussianNLLLoss: "(f, y, variance)",
}
BY_NAME: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (*KNOWN, *BY_ENTRY, *BY_SAMPLE, *OF_MORE)}
FUNCTIONS: dict[Any, type[nn.Module]] = {
    functional.cross_entropy: nn.CrossEntropyLoss,
    functional.nll_loss: nn.NLLLoss,
    functional.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    functional.mse_loss: nn.MSELoss,
    functional.l1_loss: nn.L1Loss,
    functional.smooth_l1_loss: nn.SmoothL1Loss,
    functional.huber_loss: nn.HuberLoss,
    functional.poisson_nll_loss: nn.PoissonNLLLoss,
    functional.binary_cross_entropy: nn.BCELoss,
    functional.kl_div: nn.KLDivLoss,
    functional.soft_margin_loss: nn.SoftMarginLoss,
    functional.hinge_embedding_loss: nn.HingeEmbeddingLoss,
    functional.multi_margin_loss: nn.MultiMarginLoss,
    functional.multilabel_margin_loss: nn.MultiLabelMarginLoss,
    functional.multilabel_soft_margin_loss: nn.MultiLabelSoftMarginLoss,
}


def of_module(module: nn.Module, name: str | None = None) -> Criterion:
    """Return the criterion with the value of a loss module, its `reduction` understood.

    "mean" is torch's mean and "sum" its sum. For "none", and for modules of the user's own without a reduction, the
    numbers of each sample are summed, and the problem's reduction decides. The module is copied: its buffers and
    parameters are constants, which follow the dtype and device of the outputs. Raises Misuse for modules that take
    other arguments than outputs and targets.
    """
    name = name or type(module).__name__
    kind = _plain(module)
    if kind in OF_MORE:
        raise Misuse(
            f"loss {name} takes {OF_MORE[kind]}, and a loss is given the outputs and the targets of a batch: write a "
            f"function of (f, y) that takes them apart and returns one number a sample"
        )
    own: Any = getattr(module, "reduction", None)
    if not isinstance(own, str):
        return _by_sample(name, module, None, kind)
    if own not in REDUCTIONS:
        raise Misuse(f"loss {name} has the reduction {own!r}; give one of mean, sum and none")
    if kind in KNOWN:
        return KNOWN[kind](name, module, {"reduction": REDUCTIONS[own], "entries": own == "mean"})
    return _by_sample(name, module, own, kind)


def _plain(module: nn.Module) -> type[nn.Module] | None:
    """Return the class of torch whose forward the module runs as it is; None for a forward or hooks of the user's."""
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    same = (kind for kind in BY_NAME.values() if isinstance(module, kind) and type(module).forward is kind.forward)
    return None if hooked else next(same, None)


def _by_sample(name: str, module: nn.Module, own: str | None, kind: type[nn.Module] | None) -> Criterion:
    """Return the criterion of a copy of the module that returns one number or several a sample."""
    check_takes_two(name, module.forward)
    try:
        alone, kept = copy.deepcopy(module), copy.deepcopy(module)
    except RuntimeError as error:  # a tensor with a graph behind it
        raise Misuse(f"loss {name} cannot be copied ({first_line(error)}); detach the tensors that it holds") from error
    if own is not None:
        vars(alone)["reduction"] = "none"
    by_entry = kind in BY_ENTRY

    def on(shape: tuple[int, ...], y: Inputs) -> Loss:
        total = Total(name, _cast_like_outputs(alone), shape)
        targets = (lambda y: numbers(name, shape, y).reshape(len(y), *shape)) if by_entry else lambda y: y
        weights: Callable[[Any], Tensor] = one_each
        if own is not None:
            some = _in_float64(targets(y[:SOME]), by_entry)
            with torch.no_grad():
                several = total.each(_outputs_like(shape, some), some)
            weights = each_entry(several.numel() // len(several)) if own == "mean" else one_each
            if kind is None:
                weights = _compared(Total(name, _repeated(kept), shape), total, name, own, weights)
        return Loss(name, total, targets, weights=weights, float_targets=by_entry, foreign=True)

    return Criterion(name, on, REDUCTIONS[own] if own else None)


def _cast_like_outputs(module: nn.Module) -> PerSample:
    """Return the module as a function of (f, y) whose parameters and buffers are constants of the dtype of f."""
    held = {name: t.detach() for name, t in (*module.named_parameters(), *module.named_buffers())}

    def each(f: Tensor, y: Any) -> Tensor:
        like = {name: t.to(f.device, f.dtype if t.is_floating_point() else t.dtype) for name, t in held.items()}
        return functional_call(module, like, (f, y))

    return each


def _repeated(module: nn.Module) -> PerSample:
    """Return the module's own single value once for each sample, and several values as they are."""
    call = _cast_like_outputs(module)

    def each(f: Tensor, y: Any) -> Tensor:
        found = call(f, y)
        return found.reshape(1).expand(len(f)) if found.numel() == 1 else found

    return each


def _in_float64(y: Inputs, floats: bool) -> Inputs:
    """Return targets in float64 where they are floats, or `floats` says that they are quantities."""
    return mapped(lambda part: part.double() if floats or part.is_floating_point() else part, y)


def _outputs_like(shape: tuple[int, ...], y: Inputs) -> Tensor:
    """Return outputs in float64 for targets y (B, ...), on their device: any numbers between 0.25 and 0.75."""
    device = (y.leaves[0] if isinstance(y, Nested) else y).device
    count = len(y) * math.prod(shape)
    return torch.linspace(0.25, 0.75, count, dtype=torch.float64, device=device).reshape(-1, *shape)


def _compared(whole: Total, several: Total, name: str, own: str, weights: Callable[[Any], Tensor]) -> Any:
    """Return `weights` with a check: they raise Misuse where `whole` is not the mean or the sum of `several`.

    All targets are checked, because a module may leave some out of its mean, in some parts of the data only.
    """

    def checked(y: Any) -> Tensor:
        with torch.no_grad():
            for start in range(0, len(y), SOME):
                some = _in_float64(y[start : start + SOME], False)
                f = _outputs_like(whole.shape, some)
                _check_reduction(whole.each(f, some), several.each(f, some), name, own)
        return weights(y)

    return checked


def _check_reduction(whole: Tensor, several: Tensor, name: str, own: str) -> None:
    """Raise Misuse where a module's value is not the mean or the sum of what it returns with reduction "none"."""
    if whole.shape == several.shape and torch.equal(whole, several):
        return  # it returns one number a sample, whatever its reduction
    mine = float(several.sum()) / {"mean": several.numel(), "batchmean": len(several), "sum": 1}[own]
    if not abs(float(whole[0]) - mine) <= CLOSE * max(abs(mine), float(whole[0].abs())):  # NaN: none of them counts
        raise Misuse(
            f'loss {name} returns {float(whole[0]):.6g}, and the {own} of what it returns with reduction "none" is '
            f'{mine:.6g}; give it with reduction="none": the reduction of the problem then counts'
        )
