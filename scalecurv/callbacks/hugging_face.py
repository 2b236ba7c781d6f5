"""Curvature while a Trainer of transformers trains."""

import inspect
from collections.abc import Callable, Mapping
from itertools import islice
from os import PathLike
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from scalecurv.callbacks.monitor import MAX_SAMPLES, Monitor
from scalecurv.callbacks.networks import refuse_spread, unwrapped_model
from scalecurv.errors import Misuse

try:
    from transformers import TrainerCallback
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
except ImportError as missing:
    raise Misuse(
        f"HuggingFaceCallback needs transformers, and {missing}; pip install transformers accelerate"
    ) from missing

_IGNORED = -100  # as the targets that do not count are called
_TARGETS = ("labels", "label", "label_ids")


class HuggingFaceCallback(TrainerCallback):
    """Measure curvature every few steps of trainer.train(), and log it by trainer.log.

    Add it to the trainer that it is given: trainer.add_callback(HuggingFaceCallback(trainer)). `data` is a data set,
    None for the trainer's train_dataset: samples that are drawn of it are put together by the trainer's collator, as
    one batch, with the targets as labels. It may also be anything else that `Monitor` takes. `network` is a function of
    the trainer's model that returns what is differentiated, None for the model. All other options are those of
    `Monitor`. Where the model is a causal language model and the loss is given by name, labels are shifted by one.

    Steps are those of `state.global_step`, updates of the weights, from 0, the weights before the first one. The
    trainer's log_history and its reports (TensorBoard calls them train/curvature/trace) get curvature/trace,
    curvature/trace_lower and curvature/trace_upper; when the trainer logs its own numbers does not change. With a
    `store` and no `run`, the run is the trainer's output_dir. The attribute `monitor` is the Monitor.

    Raises Misuse, when the training begins, for options that cannot be carried out, and for sharded parameters.

    Example:
        >>> from scalecurv.callbacks import HuggingFaceCallback
        >>> from transformers import TrainerCallback
        >>> issubclass(HuggingFaceCallback, TrainerCallback)  # trainer.add_callback(HuggingFaceCallback(trainer))
        True
    """

    def __init__(
        self,
        trainer: Any,
        data: Any = None,
        loss: Any = "cross_entropy",
        *,
        network: Callable[[nn.Module], nn.Module] | None = None,
        **options: Any,
    ):
        if not (hasattr(trainer, "callback_handler") and hasattr(trainer, "log")):
            raise Misuse(
                f"trainer is of type {type(trainer).__name__}; give the Trainer itself, which logs the numbers: "
                f"trainer.add_callback(HuggingFaceCallback(trainer))"
            )
        inspect.signature(Monitor).bind(data, loss, **options)  # a TypeError is due here and not when training begins
        self._trainer, self._data, self._loss = trainer, data, loss
        self._network, self._options = network, options
        self.monitor: Monitor | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read the data, and measure the weights before the first update."""
        if not state.is_world_process_zero:
            return
        refuse_spread(self._trainer.model_wrapped)
        data = self._trainer.train_dataset if self._data is None else self._data
        options = {"logger": self._log, "run": args.output_dir, **self._options}
        network = unwrapped_model(self._trainer.model)
        self.monitor = Monitor(self._collated(data, network), self._loss, **options)
        self._measure(state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure where a step is due."""
        self._measure(state, control)

    def _measure(self, state: Any, control: Any) -> None:
        if self.monitor is None:
            return
        model = self._trainer.model
        due = control.should_log  # trainer.log takes a log of the trainer's own back that is due at this step
        self.monitor(model if self._network is None else self._network(model), state.global_step, epoch=state.epoch)
        control.should_log = self._trainer.control.should_log = due

    def _log(self, values: dict[str, float], step: int) -> None:
        self._trainer.log(dict(values))

    def _collated(self, data: Any, network: nn.Module) -> Any:
        """Return the items of a data set as a loader with the trainer's collator; anything else as it is."""
        known = isinstance(data, DataLoader | torch.Tensor | Mapping | tuple | list | str | PathLike)
        if data is None or known or not (hasattr(data, "__getitem__") or hasattr(data, "__iter__")):
            return data
        items = data
        if not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):  # a stream: its first items
            items = list(islice(data, self._options.get("max_samples", MAX_SAMPLES)))
        kept = _names_kept(self._trainer, network)
        shifts = isinstance(self._loss, str) and _is_causal(network)
        collate = self._trainer.data_collator

        def batch(chosen: list[Any]) -> Any:
            named = [{n: v for n, v in item.items() if kept is None or n in kept} for item in chosen if _is_dict(item)]
            found = collate(named or chosen)
            return _shifted(found) if shifts else found

        return DataLoader(items, collate_fn=batch)


def _is_dict(item: Any) -> bool:
    return isinstance(item, Mapping)


def _names_kept(trainer: Any, network: nn.Module) -> set[str] | None:
    """Return the columns that a trainer leaves in its batches, None for all."""
    if not trainer.args.remove_unused_columns:
        return None
    return {*inspect.signature(network.forward).parameters, *_TARGETS, *(trainer.label_names or ())}


def _is_causal(network: nn.Module) -> bool:
    inner = getattr(network, "get_base_model", lambda: network)()  # below an adapter of PEFT
    return type(inner).__name__ in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()


def _shifted(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch in which the target at each token is the next one, as the model's own loss has it."""
    y: torch.Tensor = batch["labels"]
    return {**batch, "labels": torch.cat([y[:, 1:], torch.full_like(y[:, :1], _IGNORED)], 1)}
