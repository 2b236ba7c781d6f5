"""The same weights with whatever people save beside them or around them, and files that are no checkpoint at all."""

import argparse
import pickle
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from tests.checkpoints.formats import State, Writer, mlp_of


def saved(content: Callable[[State, int], Any], name: str = "step_{step}.pt") -> Writer:
    """Return what saves the content with torch.save."""

    def write(folder: Path, state: State, step: int) -> Path:
        path = folder / name.format(step=step)
        torch.save(content(state, step), path)
        return path

    return write


def beside(**more: Any) -> Writer:
    """Return what saves a state_dict with this beside it."""
    return saved(lambda state, step: {"model": dict(state), "step": step, **more})


def lightning_with_loss(state: State, step: int) -> Any:
    named = {f"net.{name}": tensor for name, tensor in state.items()}
    return {"state_dict": named, "hyper_parameters": {"criterion": nn.MSELoss()}, "global_step": step, "epoch": 1}


def config_of_a_script(folder: Path, state: State, step: int) -> Path:
    """A class that was defined in the training script, and is nowhere now."""
    script = ModuleType("script_of_training")
    exec("class Config:\n    def __init__(self):\n        self.lr, self.act = 0.1, print", vars(script))
    sys.modules["script_of_training"] = script
    try:
        return beside(config=script.Config())(folder, state, step)
    finally:
        del sys.modules["script_of_training"]


def averaged(state: State, step: int) -> Any:
    return {"state_dict": dict(state), "ema_state_dict": {name: 2 * t for name, t in state.items()}, "step": step}


def fsdp(state: State, step: int) -> Any:
    return {name.replace(".", "._fsdp_wrapped_module."): tensor for name, tensor in state.items()}


def pickled(folder: Path, state: State, step: int) -> Path:
    path = folder / f"step_{step}.pt"
    path.write_bytes(pickle.dumps(dict(state)))
    return path


def accelerate(folder: Path, state: State, step: int) -> Path:
    """What save_state of accelerate writes."""
    here = folder / f"checkpoint-{step}"
    here.mkdir()
    save_file(dict(state), here / "model.safetensors", metadata={"format": "pt"})
    for name in ("optimizer.bin", "scheduler.bin", "sampler.bin", "random_states_0.pkl"):
        torch.save({"epoch": 1, "exp_avg": torch.ones(3)}, here / name)
    return here / "model.safetensors"


WRAPPED: dict[str, Writer] = {
    "Lightning, a loss in its hyper-parameters": saved(lightning_with_loss, "epoch=1-step={step}.ckpt"),
    "NumPy numbers beside the weights": beside(best=np.float64(0.9), history=np.arange(3)),
    "`argparse.Namespace` beside": beside(args=argparse.Namespace(lr=0.1)),
    "a class of the training script beside": config_of_a_script,
    "functions and partials beside": beside(act=torch.tanh, init=partial(torch.zeros, 3)),
    "an average (EMA) beside": saved(averaged),
    "weights under another name": saved(lambda state, step: {"network": dict(state), "step": step}),
    "FSDP names": saved(fsdp),
    "accelerate folder": accelerate,
    "`pickle.dump` of a state_dict": pickled,
    "a whole module in a dict": saved(lambda state, step: {"model": mlp_of(state), "step": step}),
}


def written(name: str, content: bytes) -> Writer:
    """Return what writes these bytes."""

    def write(folder: Path, state: State, step: int) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def adapter(folder: Path, state: State, step: int) -> Path:
    """What peft writes: matrices that are to be added to weights which are elsewhere."""
    path = folder / "adapter_model.safetensors"
    named = {"base_model.model.0.lora_A.weight": torch.ones(2, 6), "base_model.model.0.lora_B.weight": torch.ones(5, 2)}
    save_file(named, path)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    return path


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daa\nsize 9\n"
)
# with words of the advice
NO_CHECKPOINT: dict[str, tuple[Writer, str]] = {
    "git-lfs pointer": (written("model.safetensors", POINTER), "git lfs pull"),
    "a web page": (written("step_1.pt", b"<!DOCTYPE html>\n<html><head></head></html>"), "download"),
    "an empty file": (written("step_1.pt", b""), "empty"),
    "adapter of peft": (adapter, "adapter"),
    "two sets of weights, neither of a known name": (
        saved(lambda state, step: {"actor": dict(state), "critic": dict(state)}),
        "--weights",
    ),
}
