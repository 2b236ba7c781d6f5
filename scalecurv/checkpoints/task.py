"""The task that all checkpoints share (data, loss, how the model is built), and the Problem at one of them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scalecurv.checkpoints.content import fingerprint_of_arrays
from scalecurv.checkpoints.load import Checkpoint, load
from scalecurv.checkpoints.model import build_from_factory, build_mlp
from scalecurv.checkpoints.problem_file import ProblemSpec
from scalecurv.data.load import load_data
from scalecurv.errors import Misuse
from scalecurv.problem.loss import per_sample_loss
from scalecurv.problem.problem import Problem
from scalecurv.problem.shard import Shard
from scalecurv.quantities import DEVICE, MEMORY, SEED
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
    memory: int = MEMORY


@dataclass(frozen=True)
class Task:
    """Data as arrays, loss, reduction and model; `task.at(checkpoint)` is a Problem."""

    spec: ProblemSpec
    x: np.ndarray
    y: np.ndarray
    data_fingerprint: str

    num_available: int = 0
    seed: int = SEED

    @classmethod
    def read(cls, spec: ProblemSpec, seed: int = SEED) -> "Task":
        """Return the task with the data of `spec`, of which `seed` draws `max_samples`; raises Misuse."""
        data = load_data(spec.data, spec.split, spec.max_samples, seed)
        return cls(spec, data.x, data.y, fingerprint_of_arrays(x=data.x, y=data.y), data.available, seed)

    def load(self, path: Path) -> Checkpoint:
        """Return the checkpoint at `path`, by the spec's choice of its tensors; raises CheckpointError."""
        return load(path, self.spec.weights, self.spec.ignore)

    @cached_property
    def id(self) -> str:
        """The task's identity: equal content of data, loss, reduction and model give equal ids.

        User code counts by its source: edited code makes another model, or another loss.
        """
        spec = self.spec
        content: dict[str, Any] = {
            "data": self.data_fingerprint,
            "loss": spec.loss,
            "reduction": spec.reduction,
            "model": spec.model,
            "activation": spec.activation,
            "factory": "" if spec.model == "mlp" else source_of("--model", spec.model, "factory"),
        }
        if names_code(spec.loss):
            content["loss_source"] = source_of("--loss", spec.loss, "function")
        if spec.weight_decay:
            content["weight_decay"] = float(spec.weight_decay)
        return digest(content)[:16]

    def describe(self, num_outputs: int) -> dict[str, Any]:
        """Return the row of this task in a store."""
        return {
            "data_path": str(self.spec.data),
            "data_fingerprint": self.data_fingerprint,
            "loss": self.spec.loss,
            "reduction": self.spec.reduction,
            "model": self.spec.model,
            "activation": self.spec.activation or "",
            "split": self.spec.split or "",
            "num_data": len(self.x),
            "num_outputs": num_outputs,
            "num_available": self.num_available,
            "sample_seed": self.seed if len(self.x) < self.num_available else NOT_SAMPLED,
            "weight_decay": float(self.spec.weight_decay),
        }

    def at(self, checkpoint: Checkpoint, arithmetic: Arithmetic, shard: Shard | None = None) -> tuple[Problem, str]:
        """Return the problem at one checkpoint, and its architecture as JSON; with a `shard`, on the rows of this rank.

        Raises CheckpointError where the tensors make no model, Misuse where data and model do not fit.
        """
        x: np.ndarray | _Quantities = self.x
        if self.spec.model == "mlp":
            assert self.spec.activation is not None
            model, architecture = build_mlp(checkpoint, self.spec.activation, flatten=self.x.ndim > 2)
            x = _Quantities(self.x) if self.x.dtype.kind in "iub" else x
            _check_width(checkpoint, model, self.x)
        else:
            model, architecture = build_from_factory(checkpoint, self.spec.model)
        loss = self.spec.loss
        problem = Problem(
            model,
            (x, self.y),
            per_sample_loss(loss, resolve("--loss", loss, "function")) if names_code(loss) else loss,
            reduction=self.spec.reduction,  # type: ignore[arg-type]
            dtype=DTYPES[compute_dtype(checkpoint, arithmetic)],
            device=arithmetic.device,
            batch_size=arithmetic.batch_size,
            memory=arithmetic.memory,
            shard=shard,
            weight_decay=self.spec.weight_decay,
        )
        return problem, architecture


@dataclass(frozen=True)
class _Quantities:
    """Whole numbers that a model takes as quantities.

    Rows become float64 when they are indexed, so that a rank converts only its own.
    """

    data: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.data[rows].astype(np.float64)


def compute_dtype(checkpoint: Checkpoint, arithmetic: Arithmetic) -> str:
    """Return the dtype of the products: as asked, else the checkpoint's own, float32 for half precision."""
    own = "float64" if checkpoint.dtype == torch.float64 else "float32"
    return arithmetic.dtype or own


def _check_width(checkpoint: Checkpoint, model: torch.nn.Module, x: np.ndarray) -> None:
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Linear))
    width = int(np.prod(x.shape[1:]))
    if width != first.in_features:
        raise Misuse(
            f"{checkpoint.path} takes {first.in_features} inputs but x has {width} a sample, shape {x.shape}; "
            f"give the data that it was trained on"
        )
