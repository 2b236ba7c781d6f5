"""Checkpoints of the same weights in every form that people have, each written by the library that it comes from."""

import json
import logging
import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

State = Mapping[str, Tensor]
Writer = Callable[[Path, State, int], Path]  # (folder, weights of an MLP, step) -> what was written


def mlp_of(state: State) -> nn.Sequential:
    """The network of ReLUs that these weights are of."""
    layers: list[nn.Module] = []
    for name in (name for name in state if name.endswith(".weight")):
        weight = state[name]
        layers += [*([nn.ReLU()] if layers else []), nn.Linear(weight.shape[1], weight.shape[0])]
    model = nn.Sequential(*layers)
    model.load_state_dict(dict(state))
    return model


def _saved(content: Callable[[State, int], Any], name: str, **options: Any) -> Writer:
    def write(folder: Path, state: State, step: int) -> Path:
        path = folder / name.format(step=step)
        torch.save(content(state, step), path, **options)
        return path

    return write


def _prefixed(*prefixes: str) -> Callable[[State, int], Any]:
    return lambda state, step: {"".join(prefixes) + name: tensor for name, tensor in state.items()}


def _compiled(state: State, step: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.compile(mlp_of(state)).state_dict()


def _parallel(state: State, step: int) -> Any:
    return nn.DataParallel(mlp_of(state)).state_dict()


def _wrapped(state: State, step: int) -> Any:
    model = mlp_of(state)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, model[0].in_features)).sum().backward()
    optimizer.step()
    return {"model": dict(state), "optimizer": optimizer.state_dict(), "global_step": step, "epoch": 2}


def lightning(folder: Path, state: State, step: int) -> Path:
    """By a Trainer, after so many steps of length 0; optimizer, loops and hyperparameters are in the file too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pytorch_lightning as pl

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

        class Module(pl.LightningModule):
            def __init__(self, rate: float = 0.0):
                super().__init__()
                self.save_hyperparameters()
                self.net = mlp_of(state)

            def training_step(self, batch: tuple[Tensor], index: int) -> Tensor:
                return self.net(batch[0]).mean()

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.SGD(self.parameters(), lr=0.0)

            def train_dataloader(self) -> Any:
                x = torch.zeros(step, next(iter(state.values())).shape[1])
                return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x))

        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
        trainer = pl.Trainer(max_steps=step, accelerator="cpu", enable_model_summary=False, **quiet)
        trainer.fit(Module())
        path = folder / f"epoch=0-step={step}.ckpt"
        trainer.save_checkpoint(path)
    return path


def safetensors(folder: Path, state: State, step: int) -> Path:
    path = folder / f"step_{step}.safetensors"
    save_file(dict(state), path, metadata={"step": str(step)})
    return path


def safetensors_model(folder: Path, state: State, step: int) -> Path:
    path = folder / f"model_{step}.safetensors"
    save_model(mlp_of(state), str(path))
    return path


def _trainer_folder(folder: Path, step: int) -> Path:
    """What transformers' Trainer writes beside the weights."""
    here = folder / f"checkpoint-{step}"
    here.mkdir()
    (here / "config.json").write_text(json.dumps({"architectures": ["MLP"]}))
    (here / "trainer_state.json").write_text(json.dumps({"global_step": step, "epoch": 1.5}))
    torch.save({"state": {}, "param_groups": []}, here / "optimizer.pt")
    torch.save({"last_epoch": 3}, here / "scheduler.pt")
    torch.save({"python": (3, (1, 2), None)}, here / "rng_state.pth")
    return here


def hugging_face(folder: Path, state: State, step: int) -> Path:
    here = _trainer_folder(folder, step)
    save_file(dict(state), here / "model.safetensors", metadata={"format": "pt"})
    torch.save(dict(state), here / "pytorch_model.bin")  # as after a conversion: the same weights twice
    return here / "model.safetensors"


def hugging_face_bin(folder: Path, state: State, step: int) -> Path:
    here = _trainer_folder(folder, step)
    torch.save(dict(state), here / "pytorch_model.bin")
    return here / "pytorch_model.bin"


def _sharded(folder: Path, state: State, step: int, stem: str, suffix: str, save: Callable[[Any, Path], None]) -> Path:
    here, names = _trainer_folder(folder, step), sorted(state)
    files = {name: f"{stem}-0000{1 + (i >= len(names) // 2)}-of-00002{suffix}" for i, name in enumerate(names)}
    for file in set(files.values()):
        save({name: state[name] for name in names if files[name] == file}, here / file)
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": files}
    (here / f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    return here


def distributed(folder: Path, state: State, step: int) -> Path:
    """Model, optimizer and counters, as torch.distributed.checkpoint writes them."""
    here = folder / f"step-{step}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = _wrapped(state, step)
        dcp.save({"model": content["model"], "optimizer": content["optimizer"], "step": step}, checkpoint_id=here)
    return here


def distributed_bare(folder: Path, state: State, step: int) -> Path:
    here = folder / f"global_step{step}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(dict(state), checkpoint_id=here)
    return here


def torchscript(folder: Path, state: State, step: int) -> Path:
    path = folder / f"script_{step}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(mlp_of(state)).save(str(path))
    return path


def pickled(folder: Path, state: State, step: int) -> Path:
    path = folder / f"pickle_{step}.pt"
    path.write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}))
    return path


READABLE: dict[str, Writer] = {
    "state_dict .pt": _saved(lambda state, step: dict(state), "step_{step}.pt"),
    "state_dict .pth": _saved(lambda state, step: dict(state), "epoch_1_step_{step}.pth"),
    "state_dict .bin": _saved(lambda state, step: dict(state), "iter_{step}.bin"),
    "before zip files": _saved(lambda state, step: dict(state), "old_{step}.pt", _use_new_zipfile_serialization=False),
    "torch.compile": _saved(_compiled, "compiled_step{step}.pt"),
    "DataParallel, DDP": _saved(_parallel, "ckpt-{step}.pt"),
    "compiled within DDP": _saved(_prefixed("_orig_mod.", "module."), "both_{step}.pt"),
    "whole module": _saved(lambda state, step: mlp_of(state), "whole_{step}.pt"),
    "model with optimizer": _saved(_wrapped, "wrapped.pt"),
    "Lightning .ckpt": lightning,
    "safetensors": safetensors,
    "safetensors, a model": safetensors_model,
    "Hugging Face": hugging_face,
    "Hugging Face .bin": hugging_face_bin,
    "sharded safetensors": partial(_sharded, stem="model", suffix=".safetensors", save=save_file),
    "sharded .bin": partial(_sharded, stem="pytorch_model", suffix=".bin", save=torch.save),
    "distributed": distributed,
    "distributed, bare": distributed_bare,
    "TorchScript": torchscript,
    "plain pickle": pickled,
}


def lone_shard(folder: Path, state: State, step: int) -> Path:
    path = folder / "model-00001-of-00002.safetensors"
    save_file(dict(state), path)
    return path


# what is no model, or half of one, with words of the advice
REFUSED: dict[str, tuple[Writer, str]] = {
    "optimizer alone": (_saved(lambda state, step: _wrapped(state, step)["optimizer"], "o_{step}.pt"), "--exclude"),
    "one shard of two": (lone_shard, "give the directory, with the index"),
}
