"""A real Trainer of transformers: the training is bit for bit the one without, and its reports get the numbers."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
)

import scalecurv as sc
from scalecurv.callbacks import HuggingFaceCallback
from tests.callbacks.loops import left_behind

# advice on devices and loaders, which is not about the callback
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
SIZES = {"vocab_size": 12, "max_position_embeddings": 8, "attn_implementation": "eager"}


def classifier() -> nn.Module:
    """Return a BERT with dropout."""
    small = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6}
    return BertForSequenceClassification(BertConfig(**SIZES, **small, num_labels=3))


def writer() -> nn.Module:
    """Return a causal language model."""
    return GPT2LMHeadModel(GPT2Config(**SIZES, n_positions=8, n_embd=4, n_layer=1, n_head=2))


class Texts(Dataset):
    """Texts of different lengths, with a column that no model takes."""

    def __init__(self, targets: str) -> None:
        self.targets = targets

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> dict[str, Any]:
        ids = [1 + (3 * i + j) % 11 for j in range(5 if self.targets == "copied" else 3 + i % 5)]
        return {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": ids if self.targets == "copied" else i % 3,
            "id": i,
        }


def padded(items: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Collate texts to the longest one."""
    width = max(len(item["input_ids"]) for item in items)
    names = [name for name in items[0] if name != "labels"]
    batch = {name: torch.tensor([item[name] + [0] * (width - len(item[name])) for item in items]) for name in names}
    return {**batch, "labels": torch.tensor([item["labels"] for item in items])}


def trained(
    folder: Path, make: Any = classifier, watch: dict[str, Any] | None = None, **options: Any
) -> tuple[Trainer, dict[str, Any], Any]:
    """Train for 4 steps; return the trainer, all that is left, and the callback."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    settings = {"max_steps": 4, "logging_steps": 3, "learning_rate": 1e-2, "per_device_train_batch_size": 8}
    fixed = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "report_to": []}
    arguments = TrainingArguments(str(folder / "run"), **{**settings, **fixed, **options})
    texts = Texts("copied" if make is writer else "classes")
    trainer = Trainer(make(), arguments, train_dataset=texts, data_collator=padded)
    callback = None
    if watch is not None:
        callback = HuggingFaceCallback(
            trainer, **{"every": 2, "budget": None, "max_samples": 4, "measures": ("trace", "lambda_max"), **watch}
        )
        trainer.add_callback(callback)
    trainer.train()
    return trainer, dict(left_behind(trainer.model, trainer.optimizer.optimizer)), callback


def losses(trainer: Trainer) -> list[dict[str, float]]:
    """Return what the trainer logged itself, without its times."""
    times = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    own = [entry for entry in trainer.state.log_history if not any(name.startswith("curvature") for name in entry)]
    return [{name: value for name, value in entry.items() if name not in times} for entry in own]


def whole(trainer: Trainer) -> dict[str, Tensor]:
    """Return all texts as one batch."""
    items = (trainer.train_dataset[i] for i in range(24))
    return padded([{name: value for name, value in item.items() if name != "id"} for item in items])


@pytest.mark.parametrize("options", [{}, {"bf16": True}, {"gradient_accumulation_steps": 2}])
def test_a_training_is_bit_for_bit_the_one_without(options: dict[str, Any], tmp_path: Path) -> None:
    alone, left, _ = trained(tmp_path, **options)
    watched, beside, callback = trained(tmp_path, watch={"every": 3, "measures": "trace"}, **options)
    assert (callback.monitor.measured, callback.monitor.failed) == (2, 0)  # at steps 0 and 3
    assert losses(watched) == losses(alone)
    assert len(losses(alone)) == 2  # at step 3, and at the end
    assert {name for name in left if left[name] != beside[name]} == set()


def test_the_history_and_the_reports_get_numbers_and_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    trainer, _, _ = trained(tmp_path, watch={}, report_to=["tensorboard"])
    entries = [entry for entry in trainer.state.log_history if "curvature/trace" in entry]
    assert [entry["step"] for entry in entries] == [0, 2, 4]
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    for name in ("trace", "lambda_max"):
        for end in ("", "_lower", "_upper"):
            found = events.Scalars(f"train/curvature/{name}{end}")
            assert [event.step for event in found] == [0, 2, 4]
            values = [entry[f"curvature/{name}{end}"] for entry in entries]
            assert [event.value for event in found] == pytest.approx(values, rel=1e-6)


def test_the_numbers_are_those_of_the_trained_weights(tmp_path: Path) -> None:
    """The forward of accelerate rounds to bf16, and is not what is measured."""
    names = ("loss", "grad_norm", "trace")
    trainer, _, _ = trained(tmp_path, watch={"every": 4, "max_samples": None, "measures": names}, bf16=True)
    model = classifier()
    model.load_state_dict(trainer.model.state_dict())
    expected = sc.analyze(sc.Problem(model.eval(), whole(trainer)), names, rtol=0.1)
    last = [entry for entry in trainer.state.log_history if "curvature/trace" in entry][-1]
    for name in names:
        assert last[f"curvature/{name}"] == pytest.approx(expected[name].value, rel=1e-6)


def test_labels_of_a_causal_language_model_are_shifted(tmp_path: Path) -> None:
    trainer, _, callback = trained(tmp_path, writer, {"measures": "gradient", "max_samples": None, "every": 4})
    assert (callback.monitor.measured, callback.monitor.failed) == (2, 0)
    own = float(trainer.model.eval()(**whole(trainer)).loss)
    last = [entry for entry in trainer.state.log_history if "curvature/loss" in entry][-1]
    assert last["curvature/loss"] == pytest.approx(own, rel=1e-5)


def test_measurements_go_to_the_run_of_the_trainer(tmp_path: Path) -> None:
    store = tmp_path / "store"
    trained(tmp_path, watch={"store": store, "attributes": {"lr": 1e-2}, "max_samples": 10, "measures": "gradient"})
    table = sc.open_store(store).sql(
        "select run, step, lr, num_data, num_available from results join tasks using (task_id) order by step"
    )
    run = str(tmp_path / "run")
    assert table.values.tolist() == [[run, step, 1e-2, 10, 24] for step in (0, 2, 4)]


def test_misuse_is_told_when_the_callback_is_made() -> None:
    with pytest.raises(sc.Misuse, match="trainer is of type str; give the Trainer itself"):
        HuggingFaceCallback("trainer")
