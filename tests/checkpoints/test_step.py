"""Step and epoch: what the file says, else what its name can be known to say."""

import math
from pathlib import Path

import torch

from scalecurv.checkpoints.step import run_of, step_and_epoch

NAMES: dict[str, tuple[int | None, float | None]] = {
    "step_100": (100, None),
    "step-500": (500, None),
    "step=7": (7, None),
    "step0": (0, None),
    "step10k": (10_000, None),
    "step_2M": (2_000_000, None),
    "steps_300": (300, None),
    "Step_30_final": (30, None),
    "global_step1000": (1000, None),
    "train_step_20": (20, None),
    "iter_0000100": (100, None),
    "iteration-5": (5, None),
    "checkpoint-500": (500, None),
    "ckpt_20": (20, None),
    "checkpoint_10_step_5000": (5000, None),
    "mlp_batch64_step100": (100, None),
    "100": (100, None),
    "000100": (100, None),
    "model_100": (100, None),
    "model100": (100, None),
    "weights-0042": (42, None),
    "snapshot=12": (12, None),
    "ep0-ba500-rank0": (500, 0),
    "epoch=3-step=100": (100, 3),
    "epoch=3-step=100-v1": (100, 3),
    "checkpoint_3_1000": (1000, 3),
    "model_epoch_3_batch_500": (500, 3),
    "epoch=3-val_loss=0.12": (None, 3),
    "epoch_10": (None, 10),
    "Epoch-10": (None, 10),
    "ep7": (None, 7),
    "epoch1.5": (None, 1.5),
    "megatron_gpt--val_loss=2.10-step=100-consumed_samples=6400.0": (100, None),
    "checkpoint-epoch=01-step=200": (200, 1),
    "epoch_3_iter_450": (450, 3),
    "snapshot_iter_5000": (5000, None),
    "state_step1000": (1000, None),
    "net_g_50000": (50_000, None),
    "step_100_best": (100, None),
    "unsharded-step500": (500, None),
    "step100-tokens2B": (100, None),
    "model.ckpt-1500": (1500, None),
    "model_0009999": (9999, None),
    "best_epoch_7": (None, 7),
    "epoch-02-0.93": (None, 2),
    "weights_it00050": (50, None),
    "it50": (50, None),
    "net-it-7": (7, None),
    "t=50": (50, None),
    "model_t=3k": (3000, None),
    "ckpt_e3_s100": (100, 3),
    "e003-s000100": (100, 3),
    "model_50": (50, None),
    "000050": (50, None),
    "best_model_step_500": (500, None),
    "rl_model_10000_steps": (10_000, None),
    "agent_2M_steps": (2_000_000, None),
    "updates_40": (40, None),
    "chkpt50": (50, None),
    "params50": (50, None),
    "snapshot50": (50, None),
    "network-snapshot-000140": (140, None),
    "lr0.1_s3_it00050": (50, None),
}
SILENT = [
    "best",
    "last",
    "final",
    "model",
    "pytorch_model",
    "model-v1",
    "last-v1",
    "seed_0",
    "rank0",
    "run_3",
    "fold-2",
    "mlp_fp16",
    "resnet50",
    "deep7b",
    "model-00001-of-00002",
    "loss0.25",
    "acc-0.93",
    "lr_0.1",
    "step=1e3",
    "step_0.1",
    "ckpt_12345678901234567890",
    "12345678901234567890",
    "pytorch_model_fsdp_0",
    "latest-rank0",
    "weights.05-0.21",
    "t5",
    "unit5",
    "split_s3",
    "edit3x",
    "lr1e3_s5",
    "release3-s5",
    "exp_3",
    "layers_4",
    "0.5_steps",
    "x1000steps",
    "it5b",
]


def test_names_that_tell() -> None:
    for stem, expected in NAMES.items():
        step, epoch = step_and_epoch({}, stem)
        assert (step, epoch) == expected
        assert isinstance(step, int | None)


def test_names_that_do_not_tell() -> None:
    for stem in SILENT:
        assert step_and_epoch({}, stem) == (None, None)


def test_a_folder_tells_where_it_is_nothing_but_a_time() -> None:
    for folder, expected in [
        ("checkpoint-500", (500, None)),
        ("step_100", (100, None)),
        ("global_step1000", (1000, None)),
        ("it00050", (50, None)),
        ("epoch_4", (None, 4)),
        ("run_3", (None, None)),
        ("100", (None, None)),
        ("batch64", (None, None)),
        ("mlp_step_5", (None, None)),
        ("runs", (None, None)),
    ]:
        assert step_and_epoch({}, "model", folder) == expected


def test_a_folder_that_is_but_a_time_is_no_run_of_its_own() -> None:
    assert run_of(Path("/runs/a/checkpoint-500/model.safetensors")) == "/runs/a"
    assert run_of(Path("/runs/a/step_7.pt")) == "/runs/a"
    assert run_of(Path("/runs/seed_3/step_7.pt")) == "/runs/seed_3"


def test_the_folder_is_asked_last() -> None:
    assert step_and_epoch({}, "step_7", "checkpoint-500") == (7, None)
    assert step_and_epoch({"epoch": 2}, "model", "checkpoint-500") == (None, 2)


def test_content_goes_before_the_name() -> None:
    for content, expected in [
        ({"step": 5}, (5, 3)),
        ({"global_step": 6, "step": 5}, (6, 3)),
        ({"iter_num": 7}, (7, 3)),
        ({"iteration": 8}, (8, 3)),
        ({"num_updates": 9}, (9, 3)),
        ({"step": 5, "epoch": 1}, (5, 1)),
        ({"epoch": 1.25}, (100, 1.25)),
        ({"step": torch.tensor(11)}, (11, 3)),
        ({"step": torch.tensor([12.0])}, (12, 3)),
        ({"step": "13", "epoch": "2"}, (13, 2)),  # safetensors metadata
        ({"epoch": "2.5"}, (100, 2.5)),
        ({"global_step": None, "step": 14}, (14, 3)),
    ]:
        assert step_and_epoch(content, "epoch=3-step=100") == expected


def test_what_is_no_number_says_nothing() -> None:
    for nonsense in [
        True,
        None,
        "soon",
        "²",
        "nan",
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        2**63,
        [5],
        {"step": 5},
        torch.arange(2),
        torch.tensor(math.nan),
        torch.tensor(1j),
    ]:
        assert step_and_epoch({"step": nonsense, "epoch": nonsense}, "epoch=3-step=100") == (100, 3)
