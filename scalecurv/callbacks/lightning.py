"""Curvature while a Lightning Trainer trains."""

import inspect
import operator
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from scalecurv.callbacks.monitor import Monitor
from scalecurv.callbacks.networks import refuse_spread
from scalecurv.display import kind_of, listing
from scalecurv.errors import Misuse

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")  # one library under two names


def _callbacks() -> tuple[type, ...]:
    """Return the class Callback of each package that is in use, else of the first that is installed; raise Misuse."""
    used = [name for name in _PACKAGES if name in sys.modules]
    reasons = []
    for name in used or _PACKAGES:
        try:
            found = [import_module(name).Callback]
        except ImportError as error:
            reasons.append(str(error))
        else:
            return tuple(dict.fromkeys((*found, *(sys.modules[other].Callback for other in used))))
    raise Misuse(f"LightningCallback needs Lightning, and {reasons[-1]}; pip install pytorch-lightning")


class LightningCallback(*_callbacks()):  # type: ignore[misc]
    """Measure curvature every few steps of Trainer.fit, and log it to all loggers of the Trainer.

    `data` is that of `Monitor`; None draws samples from the data set of the training's loader, and leaves the loader's
    own iterator alone. `network` is what is differentiated: the name of an attribute of the
    LightningModule, such as "net", or a function of it; None stands for the module itself and its forward. All other
    options are those of `Monitor`.

    Steps are those of `trainer.global_step`, updates of the weights, from 0, the weights before the first one. Loggers
    get curvature/trace, curvature/trace_lower and curvature/trace_upper at that step. With a `store` and no `run`, the
    run is the folder of the Trainer's checkpoints, or that of its logs. The attribute `monitor` is the Monitor.

    Raises Misuse, when fit begins, for options that cannot be carried out, and for parameters that are sharded.

    Example:
        >>> from scalecurv.callbacks import LightningCallback
        >>> callback = LightningCallback(loss="MSELoss", network="net", measures="lambda_max", every=50)
        >>> callback.monitor is None  # until fit begins: Trainer(callbacks=[callback]).fit(module, loader)
        True
    """

    def __init__(
        self,
        data: Any = None,
        loss: Any = "cross_entropy",
        *,
        network: str | Callable[[nn.Module], nn.Module] | None = None,
        **options: Any,
    ):
        super().__init__()
        inspect.signature(Monitor).bind(data, loss, **options)  # a TypeError is due here and not when fit begins
        self._data, self._loss, self._network, self._options = data, loss, network, options
        self.monitor: Monitor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Read the data, and measure the weights before the first update."""
        if not trainer.is_global_zero:
            return
        refuse_spread(trainer.model)
        self._check_network(pl_module)
        data = trainer.train_dataloader if self._data is None else self._data

        def log(values: dict[str, float], step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(values, step)

        options = {"logger": log, "run": _folder_of(trainer), **self._options}
        self.monitor = Monitor(data, self._loss, **options)
        self._measure(trainer, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure where a step is due."""
        self._measure(trainer, pl_module)

    def _measure(self, trainer: Any, pl_module: Any) -> None:
        if self.monitor is not None:
            self.monitor(self._chosen(pl_module), trainer.global_step, epoch=trainer.current_epoch)

    def _chosen(self, pl_module: Any) -> Any:
        if self._network is None:
            return pl_module
        return (
            operator.attrgetter(self._network)(pl_module)
            if isinstance(self._network, str)
            else self._network(pl_module)
        )

    def _check_network(self, pl_module: Any) -> None:
        """Raise Misuse where there is no network to call."""
        kind, parts = type(pl_module).__name__, listing(name for name, _ in pl_module.named_children()) or "none"
        if self._network is None:
            if not _has_forward(type(pl_module)):
                raise Misuse(f"{kind} has no forward of its own; give network='NAME' of its parts: {parts}")
            return
        try:
            found = self._chosen(pl_module)
        except AttributeError as error:
            raise Misuse(f"network is {self._network!r}, and {kind} has no such attribute; it has {parts}") from error
        if not isinstance(found, nn.Module):
            raise Misuse(f"network {self._network!r} of {kind} is {kind_of(found)}; give a torch.nn.Module: {parts}")


def _has_forward(kind: type) -> bool:
    """Return True where a class has a forward that is not the empty one of Lightning and torch."""
    theirs = ("pytorch_lightning", "lightning", "torch")
    return any("forward" in vars(one) and one.__module__.partition(".")[0] not in theirs for one in kind.__mro__)


def _folder_of(trainer: Any) -> str:
    """Return the folder of the checkpoints of a training, else of its logs."""
    checkpoints = getattr(trainer.checkpoint_callback, "dirpath", None)
    logs = getattr(trainer.logger, "log_dir", None) if trainer.logger is not None else None
    return str(checkpoints or logs or trainer.default_root_dir)
