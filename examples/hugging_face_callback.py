"""Hugging Face: the largest eigenvalue at every fifth step, in the history and the reports of Trainer.

python examples/hugging_face_callback.py
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from dense import compare, dense_hessian
from hugging_face import classifier, texts
from transformers import Trainer, TrainingArguments
from transformers.utils import logging

from scalecurv.callbacks import HuggingFaceCallback


def main(folder: Path) -> None:
    """Train with the callback; print the history; check the largest eigenvalue at the last step."""
    torch.manual_seed(0)
    arguments = TrainingArguments(
        str(folder / "run"),
        max_steps=10,
        save_strategy="no",
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        use_cpu=True,
        report_to=[],  # "tensorboard", "wandb" and "mlflow" get the numbers too
        disable_tqdm=True,
    )
    trainer = Trainer(classifier(), arguments, train_dataset=texts())
    watch = HuggingFaceCallback(trainer, measures="lambda_max", every=5, budget=None, dtype="float64")
    trainer.add_callback(watch)
    trainer.train()

    history = [entry for entry in trainer.state.log_history if "curvature/lambda_max" in entry]
    for entry in history:
        low, value, high = (entry[f"curvature/lambda_max{end}"] for end in ("_lower", "", "_upper"))
        print(f"step {entry['step']:2}: lambda_max {value:.4f} in {low:.4f} .. {high:.4f}")

    model = trainer.model.double().eval()
    H = dense_hessian(model, model(**texts().datasets).loss)
    compare("lambda_max at step 10", history[-1]["curvature/lambda_max"], torch.linalg.eigvalsh(H)[-1])


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with TemporaryDirectory() as name:
        main(Path(name))
