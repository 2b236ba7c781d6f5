"""The place where the first NaN or infinity arises between the data and the gradient."""

from torch import Tensor, nn

from scalecurv.problem.graphs import backend_of, batch_loss
from scalecurv.problem.problem import Problem
from scalecurv.samples.batch import Batch
from scalecurv.samples.nested import tensors_in


def locate_nonfinite(problem: Problem) -> str | None:
    """Return the place, as "the output of module '2' (Linear) at sample 17 (batch 1)"; None where all is finite.

    The first mini-batch whose L_b or grad L_b (P,) is not finite is searched in the order of evaluation: inputs and
    outputs of modules, the loss sample by sample, the gradient parameter by parameter. An infinity that harms neither
    loss nor gradient (a mask) is not reported. Samples and mini-batches count from 0. All ranks return the place that
    the lowest rank found.
    """
    return problem.shard.first(_first_place(problem))


def _first_place(problem: Problem) -> str | None:
    of = f" of rank {problem.shard.rank}" if problem.shard.size > 1 else ""
    for number, batch in enumerate(problem.own_batches()):
        gradient, loss = backend_of(problem).gradient(batch_loss(problem, batch), problem.theta)
        if not (_finite(loss) and _finite(gradient)):
            place = _in_modules(problem, batch) or _in_loss(problem, batch, loss) or _in_gradient(problem, gradient)
            return f"{place} (batch {number}{of})"
    return None


def _in_modules(problem: Problem, batch: Batch) -> str | None:
    """Return the first input or output of a module, in the order of evaluation, that is not finite; None without."""
    places: list[str] = []

    def look(module: nn.Module, what: str, value: object) -> None:
        for tensor in tensors_in(value):
            if not _finite(tensor):
                places.append(f"the {what} of {names[module]} ({type(module).__name__}){_sample(tensor, batch)}")

    def before(module: nn.Module, inputs: tuple[object, ...]) -> None:
        look(module, "input", inputs[:1])  # later arguments may be masks, which hold infinities on purpose

    def after(module: nn.Module, inputs: object, output: object) -> None:
        look(module, "output", output)

    names = {module: f"module {name!r}" if name else "the model" for name, module in problem.model.named_modules()}
    handles = [m.register_forward_pre_hook(before) for m in names]  # tensors made between two modules
    handles += [m.register_forward_hook(after) for m in names]
    try:
        problem.outputs(problem.theta, batch.x)
    finally:
        for handle in handles:
            handle.remove()
    return places[0] if places else None


def _in_loss(problem: Problem, batch: Batch, loss: Tensor) -> str | None:
    """Return the first sample whose loss is not finite, or the sum; None where `loss` is finite."""
    if _finite(loss):
        return None
    f = problem.outputs(problem.theta, batch.x)
    for i in range(len(f)):
        if not _finite(problem.loss.total(f[i : i + 1], batch.y[i : i + 1])):
            return f"the loss at sample {batch.start + i}"
    return "the sum of the losses"


def _in_gradient(problem: Problem, gradient: Tensor) -> str:
    """Return the first parameter whose gradient is not finite."""
    bad = (name for name, part in problem.space.unflatten(gradient).items() if not _finite(part))
    return f"the gradient of parameter {next(bad)!r}"


def _sample(tensor: Tensor, batch: Batch) -> str:
    """Return words for the first bad sample where the rows of `tensor` are the batch's samples, else ""."""
    if tensor.ndim == 0 or len(tensor) != len(batch.x):
        return ""
    finite = tensor.isfinite().reshape(len(tensor), -1).all(1)
    return f" at sample {batch.start + int(finite.int().argmin())}"


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())
