"""A model, data and a loss at one point theta: the object that every operator and every measure is given."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from scalecurv.autodiff.backends import Backend
from scalecurv.autodiff.second_order import twice_differentiable
from scalecurv.display import Described
from scalecurv.errors import Misuse
from scalecurv.problem import readiness
from scalecurv.problem.footprint import Footprint, count_activations
from scalecurv.problem.loss import Loss, PerSample, try_loss
from scalecurv.problem.losses import WEIGHTED_SQUARES, loss_of
from scalecurv.problem.params import ParameterSpace
from scalecurv.problem.remembered import remembered
from scalecurv.problem.samples import Batch, take_samples, width_of
from scalecurv.problem.shard import Shard
from scalecurv.problem.user_model import quoted, rows_of
from scalecurv.quantities import MEMORY

Reduction = Literal["mean", "sum"]


class Problem(Described):
    """The loss L(theta) = c sum_i loss(f_theta(x_i), y_i) + w |theta|^2 / 2 near the parameters that `model` holds now.

    `data` is (x, y), tensors or arrays with one sample a row. c is 1/N for reduction "mean", 1 for "sum";
    mse is |f - y|^2 / 2 summed over outputs. theta is a copy of the trainable parameters: the model is never
    written to, and later training does not move this point. `dtype` and `device` default to the parameters'.
    w is `weight_decay`, whatever the reduction. `params` is a regular expression: parameters are held fixed unless it
    is found in their name. `batch_size` and `memory` (bytes of temporaries) change the cost of a product, not its
    value. With a `shard`, `data` is still the whole data set and N counts all of it: the problem keeps this rank's
    rows, `x` and `y`, and sums over data are sums over all ranks. `sample` holds the first inputs of the whole data
    set, the same on every rank. Raises Misuse where the data does not fit the model, or the loss is not a function of
    theta alone.

    Example:
        >>> import torch
        >>> problem = Problem(torch.nn.Linear(2, 3), (torch.zeros(5, 2), torch.zeros(5, dtype=int)))
        >>> problem.num_data, problem.num_outputs, problem.num_params
        (5, 3, 9)
        >>> problem
        Problem(Linear, P=9, N=5, D=3, cross_entropy mean, float32 on cpu)
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        loss: str | Loss | PerSample = "cross_entropy",
        *,
        reduction: Reduction = "mean",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_size: int | None = None,
        memory: int = MEMORY,
        shard: Shard | None = None,
        weight_decay: float = 0.0,
        params: str | None = None,
    ):
        readiness.check_model(model)
        self.model, self.loss = model, loss_of(loss)
        readiness.check_options(reduction, batch_size, weight_decay, memory, dtype)
        self.reduction: Reduction = reduction
        self.weight_decay, self.memory, self._batch_size = weight_decay, memory, batch_size
        self.shard = shard or Shard()
        everything = ParameterSpace.of(model)
        self.space, self.params = everything if params is None else everything.restricted(params), params
        readiness.check_trainable(self.space.size)
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        readiness.check_finite({f"parameter {name!r}": p for name, p in parameters.items()})
        flat = self.space.flatten(parameters)
        self.dtype = dtype or flat.dtype
        self.device = flat.device if device is None else readiness.located(device)
        self.theta = flat.to(self.device, self.dtype, copy=True)
        frozen = {name: p for name, p in parameters.items() if name not in self.space.shapes}
        self._fixed_square = _square(frozen[name] for name in everything.shapes if name in frozen)
        buffers = dict(model.named_buffers())
        readiness.check_buffers(buffers)  # below they are copied: what a forward writes to them stays here
        self._constants = {name: self._cast(t.detach()).clone() for name, t in (frozen | buffers).items()}
        found = take_samples(data, self.loss, self.shard, self._cast, partial(width_of, self.outputs, self.theta))
        self.x, self.y, self.sample, self.sample_targets = found.x, found.y, found.sample, found.sample_targets
        self.num_data, self.num_outputs, self._most = found.num_data, found.num_outputs, found.most
        if self.loss.factor is None:
            with torch.no_grad():
                try_loss(self.loss, self.outputs(self.theta, self.sample), self.sample_targets)
        self.backend: Backend | None = None  # found by `backend_of`; later copies share it, whatever their dtype
        self.cache: dict[Any, Any] = {}  # what `remembered` functions of this problem returned

    _bare = ("model", "loss", "products")

    @property
    def _facts(self) -> dict[str, str]:
        counts = {"P": self.num_params, "N": self.num_data, "D": self.num_outputs}
        more = {"weight_decay": self.weight_decay or None, "params": self.params}
        return {
            "model": type(self.model).__name__,
            **{name: f"{count:,}" for name, count in counts.items()},
            "loss": f"{self.loss.name} {self.reduction}",
            "products": f"{str(self.dtype).removeprefix('torch.')} on {self.device}",
            **{name: repr(value) for name, value in more.items() if value is not None},
        }

    def _cast(self, tensor: Tensor, floats: bool = False) -> Tensor:
        """Return the tensor on this problem's device, in its dtype unless it holds integers that mean indices."""
        return tensor.to(self.device, self.dtype if floats or tensor.is_floating_point() else tensor.dtype)

    @classmethod
    def quadratic(cls, *eigenvalues: float) -> "Problem":
        """Return the problem of L(theta) = sum_i lambda_i theta_i^2 / 2 at its minimum theta = 0, in float64.

        Its Hessian is diag(lambda_1, ..., lambda_P), so that every number of it is known: try measures on it. Raises
        Misuse where there is no eigenvalue, or one that is not finite.

        Example:
            >>> Problem.quadratic(3.0, -1.0)
            Problem(Linear, P=2, N=2, D=1, weighted_squares sum, float64 on cpu)
        """
        if not eigenvalues or not all(map(math.isfinite, eigenvalues)):
            raise Misuse(f"eigenvalues are {eigenvalues}; give one or more finite numbers")
        model = nn.Linear(len(eigenvalues), 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        x, y = torch.eye(len(eigenvalues), dtype=torch.float64), torch.tensor(eigenvalues, dtype=torch.float64)[:, None]
        return cls(model, (x, y), WEIGHTED_SQUARES, reduction="sum")

    @property
    def num_local(self) -> int:
        """The number of samples on this rank: `num_data` where there is one rank."""
        return len(self.x)

    @property
    def num_params(self) -> int:
        """P, the number of parameters to differentiate by."""
        return self.space.size

    @property
    def scale(self) -> float:
        """c, the factor in front of the sum over samples."""
        return 1 / self.num_data if self.reduction == "mean" else 1.0

    @property
    @remembered
    def footprint(self) -> Footprint:
        """The scalars that one sample and one parameter vector keep in memory."""
        activations = count_activations(self.model, lambda x: self.outputs(self.theta, x), self.sample[:1])
        return Footprint(activations, self.num_params, self.dtype.itemsize)

    @property
    @remembered
    def batch_size(self) -> int:
        """The number of samples in a mini-batch: the given one, else what fits into `memory`; alike on all ranks."""
        return min(self._batch_size or self.footprint.batch_size(self.memory, self._most), self._most)

    @property
    @remembered
    def columns(self) -> int:
        """The number of vectors of a block that one product takes together."""
        return self.footprint.columns(self.memory, self.batch_size)

    def outputs(self, theta: Tensor, x: Tensor, cast: bool = True) -> Tensor:
        """Return f_theta(x) of shape (B, D), for flat theta (P,), in the problem's dtype unless `cast` is False.

        The model is given a copy of x, which it may write to. Raises CheckpointError that quotes the model where it
        raises, Misuse where it returns no tensor.
        """
        given = {**self.space.unflatten(theta), **self._constants}
        with twice_differentiable(), quoted(self.model, f"outputs for x of shape {tuple(x.shape)}, {x.dtype}"):
            f = functional_call(self.model, given, (x.clone(),))
        rows = rows_of(f, len(x))
        return rows.to(self.dtype) if cast else rows

    def unflatten(self, v: Tensor | np.ndarray) -> dict[str, Tensor]:
        """Return a vector (P,) by the names of parameters in their shapes; a block (P, k) keeps k as its last axis.

        Raises Misuse where `v` has other rows than P.
        """
        return self.space.unflatten(torch.as_tensor(v))

    def batches(self) -> Iterator[Batch]:
        """Yield the data in its own order in mini-batches, the last one shorter; raise Misuse where `whole` does."""
        yield from self.whole.pieces(self.batch_size)

    def own_batches(self) -> Iterator[Batch]:
        """Yield this rank's mini-batches, for callers that combine the results of all ranks themselves."""
        yield from Batch(self.x, self.y, self.shard.rows(self.num_data).start).pieces(self.batch_size)

    @property
    def whole(self) -> Batch:
        """All samples; the property raises Misuse where they are spread over ranks."""
        self.shard.refuse("this number")
        return Batch(self.x, self.y, 0)

    def astype(self, dtype: torch.dtype) -> "Problem":
        """Return the same problem with its parameters and data cast to `dtype`."""
        if dtype == self.dtype:
            return self
        copy = self._copy(dtype=dtype, theta=self.theta.to(dtype))
        copy._constants = {name: copy._cast(t) for name, t in self._constants.items()}
        copy.x, copy.y, copy.sample = copy._cast(self.x), copy._cast(self.y), copy._cast(self.sample)
        copy.sample_targets = copy._cast(self.sample_targets)
        return copy

    def restricted(self, params: str | None) -> "Problem":
        """Return the same loss as a function only of the parameters in whose names the pattern `params` is found.

        All others are held fixed; None returns the problem itself. Raises Misuse as `ParameterSpace.restricted` does.
        """
        if params is None or params == self.params:
            return self
        space = self.space.restricted(params)
        parts = self.space.unflatten(self.theta)
        fixed = {name: part for name, part in parts.items() if name not in space.shapes}
        held = {"_constants": self._constants | fixed, "_fixed_square": self._fixed_square + _square(fixed.values())}
        return self._copy(space=space, params=params, theta=space.flatten(parts), **held)

    def undecayed(self) -> "Problem":
        """Return the same problem without its weight decay."""
        return self._copy(weight_decay=0.0) if self.weight_decay else self

    def of_some(self, rows: Tensor) -> "Problem":
        """Return the loss over these samples of this rank alone, without ranks and weight decay."""
        some = {"x": self.x[rows], "y": self.y[rows], "num_data": len(rows), "_most": len(rows)}
        return self._copy(**some, shard=Shard(), weight_decay=0.0, _batch_size=None)

    def penalty(self) -> tuple[float, Tensor]:
        """Return the terms of weight decay: w |theta|^2 / 2 over fixed parameters too, and its gradient, w theta."""
        square = _square([self.theta]) + self._fixed_square
        return self.weight_decay * square / 2, self.weight_decay * self.theta

    def _copy(self, **changes: Any) -> "Problem":
        """Return another problem with these attributes changed and an empty cache."""
        copy = object.__new__(Problem)
        copy.__dict__.update(self.__dict__ | changes | {"cache": {}})
        return copy


def _square(tensors: Iterable[Tensor]) -> float:
    """Return the sum of the squares of all entries, in float64."""
    return sum(float((tensor.double() ** 2).sum()) for tensor in tensors)
