"""The task that all checkpoints share (data, loss, how the model is built), and the Problem at one of them."""

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from scalecurv.checkpoints.load import Checkpoint, load
from scalecurv.checkpoints.model import build_from_factory, build_mlp
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.data.held import Data
from scalecurv.data.load import load_data
from scalecurv.data.reread import Reread
from scalecurv.errors import Misuse
from scalecurv.machine import default_memory
from scalecurv.measures.sample_forms import FEWEST
from scalecurv.problem.loss import Criterion
from scalecurv.problem.losses import loss_of
from scalecurv.problem.problem import Problem
from scalecurv.problem.readiness import products_dtype
from scalecurv.problem.shard import Shard
from scalecurv.quantities import DEVICE, SEED
from scalecurv.record import digest
from scalecurv.user_code import names_code, resolve, source_of

NOT_SAMPLED = -1  # in place of a seed where all samples were used
DTYPES = {"float32": torch.float32, "float64": torch.float64, "tf32": torch.float32}


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic of products: dtype (None: the checkpoint's own), device, mini-batch, bytes of temporaries.

    In "tf32" a GPU may round the factors of float32 matrix products to 10 bits; in "float32" it never does.
    """

    dtype: str | None = None
    device: str = DEVICE
    batch_size: int | None = None
    memory: int = field(default_factory=default_memory)


@dataclass(frozen=True)
class Task:
    """Data, loss, reduction and model; `task.at(checkpoint)` is a Problem.

    The data is held as arrays, or read anew in every pass where user code makes more than fits into memory.
    """

    spec: ProblemSpec
    data: Data | Reread
    seed: int = SEED

    @classmethod
    def read(cls, spec: ProblemSpec, seed: int = SEED, memory: int | None = None) -> "Task":
        """Return the task with the data of `spec`, of which `seed` draws `max_samples`; raises Misuse.

        Batches that user code makes are held where they take at most `memory` bytes.
        """
        return cls(spec, load_data(spec.data, spec.split, spec.max_samples, seed, memory), seed)

    @property
    def num_data(self) -> int:
        """The number of samples."""
        return len(self.data)

    @property
    def of_sample(self) -> str:
        """A line that says what the numbers belong to where the data is a draw from more samples; else ""."""
        n, N = self.num_data, self.data.available
        if n >= N:
            return ""
        return (
            f"--max-samples: {n:,} of {N:,} samples are all data here, so that the numbers are those of the loss over "
            f"these {n:,}; for the loss over all {N:,} give --from-samples {max(n, FEWEST)} instead"
        )

    def load(self, path: Path) -> Checkpoint:
        """Return the checkpoint at `path`, by the spec's choice of its tensors; raises CheckpointError."""
        return load(path, self.spec.weights, self.spec.ignore)

    @property
    def criterion(self) -> Criterion:
        """The loss, before the shapes that it is used on are known; raises Misuse for user code that is no loss."""
        loss = self.spec.loss
        return loss_of(resolve("--loss", loss, "function"), loss) if names_code(loss) else loss_of(loss)

    @property
    def reduction(self) -> str:
        """The reduction as given, else the loss's own, else "mean"; raises Misuse where the first two differ."""
        return self.criterion.reduced(self.spec.reduction)

    @cached_property
    def id(self) -> str:
        """The task's identity: equal content of data, loss, reduction and model give equal ids.

        User code counts by its source: edited code makes another model, or another loss.
        """
        spec = self.spec
        content: dict[str, Any] = {
            "data": self.data.fingerprint,
            "loss": spec.loss,
            "reduction": self.reduction,
            "model": spec.model,
            "activation": spec.activation,
            "factory": "" if spec.model == "mlp" else source_of("--model", spec.model, "factory"),
        }
        if names_code(spec.loss):
            content["loss_source"] = source_of("--loss", spec.loss, "function")
        if spec.weight_decay:
            content["weight_decay"] = float(spec.weight_decay)
        chosen = {"weights": spec.weights, "ignore": spec.ignore}  # other tensors of the same files
        content |= {name: value for name, value in chosen.items() if value is not None}
        return digest(content)[:16]

    def describe(self, num_outputs: int) -> dict[str, Any]:
        """Return the row of this task in a store."""
        return {
            "data_path": str(self.spec.data),
            "data_fingerprint": self.data.fingerprint,
            "loss": self.spec.loss,
            "reduction": self.reduction,
            "model": self.spec.model,
            "activation": self.spec.activation or "",
            "split": self.spec.split or "",
            "num_data": self.num_data,
            "num_outputs": num_outputs,
            "num_available": self.data.available,
            "sample_seed": self.seed if self.num_data < self.data.available else NOT_SAMPLED,
            "weight_decay": float(self.spec.weight_decay),
            "weights": self.spec.weights or "",
            "ignored": self.spec.ignore or "",
        }

    def at(self, checkpoint: Checkpoint, arithmetic: Arithmetic, shard: Shard | None = None) -> tuple[Problem, str]:
        """Return the problem at one checkpoint, and its architecture as JSON; with a `shard`, on the rows of this rank.

        Raises CheckpointError where the tensors make no model, Misuse where data and model do not fit.
        """
        if self.spec.model == "mlp":
            assert self.spec.activation is not None
            shape = self._shape_of_vectors()
            model, architecture = build_mlp(checkpoint, self.spec.activation, flatten=len(shape) > 1)
            samples = self.data.quantities()
            _check_width(checkpoint, model, shape, self.num_data)
        else:
            model, architecture = build_from_factory(checkpoint, self.spec.model)
            samples = self.data.samples()
        problem = Problem(
            model,
            samples,
            self.criterion,
            reduction=self.spec.reduction,  # type: ignore[arg-type]
            dtype=DTYPES[compute_dtype(checkpoint, arithmetic)],
            device=arithmetic.device,
            batch_size=arithmetic.batch_size,
            memory=arithmetic.memory,
            shard=shard,
            weight_decay=self.spec.weight_decay,
        )
        if problem.output:  # the part of what the model returns that was taken
            architecture = json.dumps({**json.loads(architecture), "output": problem.output})
        return problem, architecture

    def _shape_of_vectors(self) -> tuple[int, ...]:
        """Return the shape of one sample's inputs to an MLP; raise Misuse where they are several arrays."""
        if self.data.width is None:
            raise Misuse(
                f"--data {self.spec.data} has inputs of several parts, and an MLP that is told by its tensors takes "
                f"one array; give --model pkg.mod:factory"
            )
        return self.data.width or (1,)


def compute_dtype(checkpoint: Checkpoint, arithmetic: Arithmetic) -> str:
    """Return the dtype of the products: as asked, else the checkpoint's own, float32 for half precision."""
    return arithmetic.dtype or str(products_dtype(checkpoint.dtype)).removeprefix("torch.")


def _check_width(checkpoint: Checkpoint, model: torch.nn.Module, shape: tuple[int, ...], num_data: int) -> None:
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Linear))
    width = math.prod(shape)
    if width != first.in_features:
        raise Misuse(
            f"{checkpoint.path} takes {first.in_features} inputs but x has {width} a sample, shape "
            f"{(num_data, *shape)}; give the data that it was trained on"
        )
