"""A training with a monitor is, bit for bit, the one without."""

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from scalecurv.callbacks import monitor as module
from scalecurv.callbacks import undisturbed as surroundings
from tests.callbacks.loops import data, left_behind, monitor, network, plain, train

OPTIMIZERS: dict[str, Any] = {
    "SGD with momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, 1e-2, amsgrad=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("autocast", [False, True])
def test_bit_for_bit(optimizer: str, autocast: bool) -> None:
    watch = monitor()
    options = {"optimizer": OPTIMIZERS[optimizer], "autocast": autocast}
    losses, left, _ = train(None, **options)
    watched, beside, _ = train(watch, **options)
    assert (watch.measured, watch.failed) == (2, 0)
    assert watched == losses
    assert {name for name in left if left[name] != beside[name]} == set()


def test_gradients_are_accumulated_as_without_it() -> None:
    watch = monitor(every=1)
    losses, left, _ = train(None, accumulate=3)
    watched, beside, _ = train(watch, accumulate=3)
    assert (watch.measured, watched, beside) == (5, losses, left)


@pytest.mark.filterwarnings("ignore:.*GradScaler")
@pytest.mark.parametrize("broken", ["random", "copied"])
def test_a_monitor_that_disturbs_is_seen(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the random streams put back, or without the copy, the trainings differ."""
    losses, left, _ = train(None)
    if broken == "random":
        monkeypatch.setattr(surroundings.torch.random, "fork_rng", lambda devices: torch.enable_grad())
    else:
        monkeypatch.setattr("scalecurv.callbacks.points.copied", lambda model: (model.eval(), []))
    watched, beside, _ = train(monitor())
    assert (watched, beside) != (losses, left)


def state_in(model: nn.Module, watch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    before = dict(left_behind(model))
    assert watch(model, 0) is not None
    return before, dict(left_behind(model))


def test_every_setting_of_torch_is_put_back() -> None:
    model = network()
    settings = (
        torch.no_grad(),
        torch.inference_mode(),
        torch.autocast("cpu", torch.bfloat16),
    )
    for setting in settings:
        with setting:
            before, after = state_in(model, monitor())
            assert before == after
    torch.set_float32_matmul_precision("medium")  # factors of 8 bits, where the processor has them
    torch.backends.cudnn.allow_tf32 = False
    torch.set_default_dtype(torch.float64)
    try:
        before, after = state_in(model, monitor())
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        torch.set_default_dtype(torch.float32)
    assert before == after
    assert before["precision"][0] == "medium"


def test_gradients_keep_their_values_and_their_identity() -> None:
    model, (x, y) = network(), data()
    nn.functional.cross_entropy(model(x), y).backward()
    model[0].bias.grad = None
    model[4].bias.requires_grad_(False)
    held = [p.grad for p in model.parameters()]
    before, after = state_in(model, monitor())
    assert before == after
    assert all(p.grad is grad for p, grad in zip(model.parameters(), held, strict=True))


def test_modes_of_parts_stay_as_a_training_has_set_them() -> None:
    model = network().train()
    model[1].eval()  # a frozen batch norm
    before, after = state_in(model, monitor())
    assert before == after
    assert before["modes"] == [True, True, False, True, True, True]


def test_nothing_of_a_measurement_is_kept() -> None:
    model, copies = network(), []
    watch = monitor()
    original = module.measured

    def seen(point: Any, request: Any) -> Any:
        copies.append(weakref.ref(point.problem.model))
        return original(point, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "measured", seen)
        watch(model, 0)
    gc.collect()
    assert [held() for held in copies] == [None]


def test_interruption_passes_and_all_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Any:
        torch.rand(7)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measured", interrupted)
    model = network()
    before = dict(left_behind(model))
    with pytest.raises(KeyboardInterrupt):
        monitor()(model, 0)
    assert dict(left_behind(model)) == before


def test_reading_the_data_draws_nothing_from_a_training() -> None:
    x, y = data()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=7, shuffle=True)
    model = plain()
    before = dict(left_behind(model))
    watch = module.Monitor(loader, max_samples=20, every=1, budget=None)
    assert dict(left_behind(model)) == before
    twin = copy.deepcopy(model)
    assert watch(model, 0) == watch(twin, 1)
