"""The loss at the weights of a moment: by a model built for them, as `analyze` does, or by a copy of the model."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from scalecurv.callbacks.networks import copied, say_left_out, weights_of
from scalecurv.callbacks.samples import place_of, samples_of
from scalecurv.checkpoints.content import fingerprint_of
from scalecurv.checkpoints.load import Checkpoint
from scalecurv.checkpoints.model import ACTIVATIONS, described
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.checkpoints.task import DTYPES, NOT_SAMPLED, Arithmetic, Task, compute_dtype
from scalecurv.data.held import Data
from scalecurv.data.reread import Reread
from scalecurv.errors import Misuse
from scalecurv.problem.loss import Criterion
from scalecurv.problem.losses import loss_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import check_options, products_dtype
from scalecurv.record import FileStamp, digest
from scalecurv.user_code import name_of, names_code, resolve

_ADDRESS = re.compile(r"0x[0-9a-f]+")  # of an object in this process


@dataclass(frozen=True)
class Point:
    """The problem at the weights of a moment, and its identity in a store; `own_dtype` holds if no dtype is given."""

    problem: Problem
    architecture: str
    fingerprint: str
    dtype: str
    own_dtype: str
    task_id: str
    task: dict[str, Any]


class Points(Protocol):
    """The loss as a function of the weights that a model has now."""

    @property
    def id(self) -> str:
        """Return the identity of the task, "" before any model was seen that it depends on."""

    def at(self, model: nn.Module, arithmetic: Arithmetic, path: str) -> Point:
        """Return the point at the model's weights; `path` stands for them in messages."""


@dataclass(frozen=True)
class AsSaved:
    """A task that names its model, so that its identity is that of an analysis of the saved checkpoints."""

    task: Task

    @property
    def id(self) -> str:
        """The task's identity."""
        return self.task.id

    def at(self, model: nn.Module, arithmetic: Arithmetic, path: str) -> Point:
        """Return the point at these weights in a model that is built for them; raises CheckpointError, Misuse."""
        tensors = weights_of(model)
        stamp = FileStamp(path, 0, 0, 0)  # of no file
        checkpoint = Checkpoint(Path(path), stamp, tensors, True, None, None, fingerprint_of(tensors))
        problem, architecture = self.task.at(checkpoint, arithmetic)
        dtypes = compute_dtype(checkpoint, arithmetic), compute_dtype(checkpoint, Arithmetic())
        described_task = self.task.describe(problem.num_outputs)
        return Point(problem, architecture, checkpoint.fingerprint, *dtypes, self.task.id, described_task)


@dataclass
class AsTrained:
    """The model as it is trained, whatever built it: its loss at a copy of it.

    The identity of the task holds data, loss and the printed structure of the model, as no file can build it again.
    `stored` is False where no identity of the weights is needed.
    """

    data: Data | Reread
    place: str
    loss: Criterion
    reduction: str | None
    weight_decay: float
    seed: int
    stored: bool
    id: str = field(default="", init=False)
    _said: bool = field(default=False, init=False)

    def at(self, model: nn.Module, arithmetic: Arithmetic, path: str) -> Point:
        """Return the point at the weights of a copy; raises CheckpointError, Misuse."""
        task = self._task(model)
        structure = hashlib.sha256(_ADDRESS.sub("", repr(model)).encode()).hexdigest()
        self.id = digest({**task, "data_path": "", "structure": structure})[:16]  # first: a failure has it too
        twin, left_out = copied(model)
        if left_out and not self._said:
            self._said = True
            say_left_out(left_out)
        problem = Problem(
            twin,
            self.data.samples(),
            self.loss,
            reduction=self.reduction,  # type: ignore[arg-type]
            dtype=None if arithmetic.dtype is None else DTYPES[arithmetic.dtype],
            device=arithmetic.device,
            batch_size=arithmetic.batch_size,
            memory=arithmetic.memory,
            weight_decay=self.weight_decay,
        )
        output = {"output": problem.output} if problem.output else {}
        architecture = described({"kind": task["model"], **output}, ())
        own = next(p.dtype for p in model.parameters() if p.is_floating_point())
        fingerprint = fingerprint_of(weights_of(model)) if self.stored else ""
        dtypes = arithmetic.dtype or _named(problem.dtype), _named(products_dtype(own))
        return Point(problem, architecture, fingerprint, *dtypes, self.id, {**task, "num_outputs": problem.num_outputs})

    def _task(self, model: nn.Module) -> dict[str, Any]:
        """Return the row of this task in a store; its model is a class, which is no factory pkg.mod:name."""
        return {
            "data_path": self.place,
            "data_fingerprint": self.data.fingerprint,
            "loss": self.loss.name,
            "reduction": self.loss.reduced(self.reduction),
            "model": f"{type(model).__module__}.{type(model).__qualname__}",
            "activation": "",
            "split": "",
            "num_data": len(self.data),
            "num_available": self.data.available,
            "sample_seed": self.seed if len(self.data) < self.data.available else NOT_SAMPLED,
            "weight_decay": float(self.weight_decay),
            "weights": "",
            "ignored": "",
        }


def _named(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def points_of(
    data: Any,
    loss: Any,
    model: str | Callable[[], nn.Module] | None,
    activation: str | None,
    reduction: Any,
    weight_decay: float,
    max_samples: int | None,
    seed: int,
    memory: int | None,
    stored: bool,
) -> Points:
    """Return the loss at weights to come, with its data read; raises Misuse for what cannot be carried out."""
    if model is not None and activation is not None:
        raise Misuse(
            "model and activation are both given, and activation is for a plain MLP alone; leave one of them out"
        )
    if activation is not None and activation not in ACTIVATIONS:
        raise Misuse(f"unknown activation {activation!r}; choose from {', '.join(ACTIVATIONS)}, or leave it out")
    saved = model is not None or activation is not None
    by_name: Any = name_of("loss", loss) if saved else loss
    code = isinstance(by_name, str) and names_code(by_name)
    criterion = loss_of(resolve("loss", by_name, "function"), by_name) if code else loss_of(loss)
    check_options(criterion.reduced(reduction), None, weight_decay, None, None)
    held, place = samples_of(data, max_samples, seed, memory), place_of(data)
    if not saved:
        return AsTrained(held, str(place), criterion, reduction, weight_decay, seed, stored)
    factory = str(name_of("model", model) or "mlp")
    if model is not None:
        resolve("model", factory, "factory")
    spec = ProblemSpec(place, by_name, reduction, factory, activation, weight_decay, None, max_samples)
    return AsSaved(Task(spec, held, seed))
