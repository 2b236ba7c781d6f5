"""Hugging Face: the folder that Trainer writes, a model from transformers, and batches with labels in them.

python examples/hugging_face.py
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from dense import compare, dense_hessian
from torch.utils.data import StackDataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.utils import logging

import scalecurv as sc


def classifier() -> BertForSequenceClassification:
    """Return an untrained BERT of some 300 parameters; scalecurv calls this function and loads the weights into it."""
    config = BertConfig(
        vocab_size=12,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=6,
        max_position_embeddings=8,
        num_labels=3,
        attn_implementation="eager",
    )
    return BertForSequenceClassification(config)


def texts() -> StackDataset:
    """Return 24 texts of at most 8 tokens; an item is a dict of input_ids, attention_mask and labels."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 12, (24, 8), generator=generator)
    lengths = torch.randint(3, 9, (24, 1), generator=generator)
    mask = (torch.arange(8) < lengths).long()
    return StackDataset(input_ids=ids * mask, attention_mask=mask, labels=ids[:, 0] % 3)


def train(folder: Path) -> None:
    """Train for 10 steps; Trainer writes checkpoint-5 and checkpoint-10."""
    arguments = TrainingArguments(
        str(folder),
        max_steps=10,
        save_steps=5,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    Trainer(classifier(), arguments, train_dataset=texts()).train()


def main(folder: Path) -> None:
    """Train and save; analyse; check the largest eigenvalue at the last step."""
    torch.manual_seed(0)
    train(folder / "run")

    # Model and data are functions of this file. The targets are what the items call labels, the outputs what the model
    # calls logits. In a shell, in this directory:
    #    scalecurv analyze run store --data hugging_face:texts --model hugging_face:classifier \
    #        --loss cross_entropy --measure lambda_max
    sc.sweep(
        folder / "run",
        folder / "store",
        data="hugging_face:texts",
        model="hugging_face:classifier",
        loss="cross_entropy",
        measures=("loss", "lambda_max"),
        dtype="float64",
        engine="serial",
    )
    table = sc.open_store(folder / "store").sql("select step, epoch, loss, lambda_max from results order by step")
    print(table.to_string(index=False))

    path = folder / "run" / "checkpoint-10"
    model = BertForSequenceClassification.from_pretrained(path, attn_implementation="eager").double().eval()
    H = dense_hessian(model, model(**texts().datasets).loss)
    compare("lambda_max at step 10", table["lambda_max"].iloc[-1], torch.linalg.eigvalsh(H)[-1])


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with TemporaryDirectory() as name:
        main(Path(name))
