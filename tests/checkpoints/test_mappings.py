"""The mapping that holds the weights: known by its key, the only one, or asked for; never a guess among several."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scalecurv.checkpoints import mappings
from scalecurv.checkpoints.load import load
from scalecurv.errors import CheckpointError


def state(seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {"0.weight": torch.rand(2, 3, generator=rng), "0.bias": torch.rand(2, generator=rng)}


MAIN, OTHER = state(0), state(1)
ADAM = {"state": {0: {"exp_avg": torch.ones(2, 3), "step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}


def taken(folder: Path, content: Any, key: str | None = None) -> dict[str, Tensor]:
    torch.save(content, folder / "x.pt")
    return dict(load(folder / "x.pt", weights=key).tensors)


def is_main(tensors: dict[str, Tensor]) -> bool:
    return tensors.keys() == MAIN.keys() and all(torch.equal(tensors[name], tensor) for name, tensor in MAIN.items())


def refusal(folder: Path, content: Any, key: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        taken(folder, content, key)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    return message.removeprefix(f"{folder / 'x.pt'} ")


def alone() -> Iterator[tuple[str, Any]]:
    for key in (
        "ema_state_dict",
        "params_ema",
        "network",
        "net_state_dict",
        "model_state",
        "generator",
        "shadow",
        "a.b",
        "optimal_net",
    ):
        yield key, {key: MAIN, "epoch": 3, "acc": torch.tensor(0.5), "class_weights": torch.ones(4)}
    yield (
        "optimizer beside",
        {"network": MAIN, "optimizer": ADAM, "opt_g": ADAM, "lr_schedulers": [{"w": torch.ones(2, 2)}]},
    )
    yield "nested", {"trainer": {"inner": {"network": MAIN}}, "loops": {"fit_loop": {"n": torch.tensor(1)}}}
    yield "in a list", {"networks": [MAIN], "names": ["a"]}
    yield "average beside", {"network": MAIN, "network_ema": OTHER, "swa": OTHER}
    yield "known among others", {"state_dict": MAIN, "ema_state_dict": OTHER, "generator": OTHER}
    yield "known and nested", {"state": {"model": MAIN, "optimizer": ADAM}, "shadow": OTHER}
    yield "bare", {**MAIN, "extra": {"covariance": torch.ones(3, 3)}}


def test_one_mapping_is_taken_whatever_its_key(tmp_path: Path) -> None:
    for name, content in alone():
        assert is_main(taken(tmp_path, content)), name


def test_a_key_chooses(tmp_path: Path) -> None:
    average = {"ema": {"decay": torch.tensor(0.9), "shadow": MAIN}, "callbacks": {"EMA.x": {"weights": OTHER}}}
    content = {"state_dict": OTHER, **average, "several": [OTHER, MAIN], "flat": {"a.b.0.weight": MAIN["0.weight"]}}
    for key in ("ema", "ema.shadow", "several.1"):
        assert is_main(taken(tmp_path, content, key)), key
    for key in ("state_dict", "callbacks", "callbacks.EMA.x", "callbacks.EMA.x.weights", "several.0"):
        assert torch.equal(taken(tmp_path, content, key)["0.bias"], OTHER["0.bias"]), key
    assert list(taken(tmp_path, content, "flat.a.b")) == ["0.weight"]
    both = {**{f"student.{n}": t for n, t in MAIN.items()}, **{f"teacher.{n}": t for n, t in OTHER.items()}}
    assert is_main(taken(tmp_path, both, "student"))
    assert len(taken(tmp_path, both, ".")) == 4
    save_file(both, tmp_path / "x.safetensors")
    assert is_main(dict(load(tmp_path / "x.safetensors", weights="student").tensors))


def test_several_are_refused_with_their_keys(tmp_path: Path) -> None:
    said = "holds several mappings of tensors, and none is known to be the weights; it holds "
    two = {"generator": MAIN, "discriminator": OTHER}
    assert refusal(tmp_path, two) == f"{said}generator, discriminator; choose one, such as --weights generator"
    deep = {"nets": {"a b": MAIN, "c": OTHER}}
    assert refusal(tmp_path, deep) == f"{said}nets.a b, nets.c; choose one, such as --weights 'nets.a b'"
    assert (
        refusal(tmp_path, {"x": deep}, "x") == f"{said}x.nets.a b, x.nets.c; choose one, such as --weights 'x.nets.a b'"
    )
    averages = {"ema_a": MAIN, "ema_b": OTHER}
    assert refusal(tmp_path, averages).startswith(f"{said}ema_a, ema_b; choose one")
    mixed = {"confusion": torch.ones(3, 3), "one": MAIN}
    assert refusal(tmp_path, mixed) == f"{said}., one; choose one, such as --weights one"


def test_a_key_that_leads_nowhere(tmp_path: Path) -> None:
    content = {"state_dict": MAIN, "epoch": 3, "note": "x"}
    choice = "it holds state_dict; choose one, such as --weights state_dict"
    assert refusal(tmp_path, content, "ema") == f"holds nothing under --weights ema; {choice}"
    assert refusal(tmp_path, content, "epoch") == f"holds an int under --weights epoch, no mapping of tensors; {choice}"
    advice = "holds its tensors without a key, and nothing under ema; leave --weights out"
    assert refusal(tmp_path, MAIN, "ema") == advice


def test_states_of_optimizers_are_no_weights(tmp_path: Path) -> None:
    for content in (
        {"optimizer": ADAM},
        ADAM,
        {"opt": {"w": {"exp_avg": torch.ones(2, 2), "exp_avg_sq": torch.ones(2)}}},
    ):
        assert refusal(tmp_path, content).startswith("holds no named weights (its keys: ")


def test_keys_without_end_and_keys_that_harm(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    assert refusal(tmp_path, endless) == (
        "holds no named weights (its keys: a); save model.state_dict(), or if it is no checkpoint, leave it out with "
        "--exclude x.pt"
    )
    deep: dict[str, Any] = dict(MAIN)
    for _ in range(200):
        deep = {"k": deep}
    assert "holds no named weights" in refusal(tmp_path, deep)
    assert is_main(taken(tmp_path, deep, ".".join("k" * 200)))
    harmful = {"a\x1b[31m\n": MAIN, "b" * 10**6: OTHER, ("t",): OTHER, 10**5000: OTHER}
    assert refusal(tmp_path, harmful).endswith(" ...")
    assert is_main(taken(tmp_path, harmful, "a\x1b[31m\n"))
    nested_key: Any = "k"
    for _ in range(300):
        nested_key = (nested_key,)
    assert is_main(taken(tmp_path, {"model": MAIN, nested_key: OTHER}))


def test_a_large_mapping_in_many_places_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, plain = [], mappings._items
    monkeypatch.setattr(mappings, "_items", lambda held: (listed.append(id(held)), plain(held))[1])
    moments = {"exp_avg": None}
    assert is_main(taken(tmp_path, {"net": state(0), **{f"a{i}": moments for i in range(1000)}}))
    assert len(listed) < 100
