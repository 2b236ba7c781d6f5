"""Wrappers are taken off, and the copy is the network: its hooks that are part of it, and none of the user's."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import scalecurv as sc
from scalecurv.callbacks import Monitor
from scalecurv.callbacks.networks import copied, unwrapped_model, weights_of
from tests.callbacks.loops import data, left_behind, monitor, network, plain


class FullyShardedDataParallel(nn.Module):
    """A stand-in by name: the real one wants a process group."""

    def __init__(self) -> None:
        super().__init__()
        self.module = plain()


class Holder(nn.Module):
    """A network of the user's own."""


class Scaled(nn.Module):
    """A network whose own hook is part of what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = plain(), 0
        self.register_forward_pre_hook(self.halve)

    def halve(self, module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        self.calls += 1
        return (given[0] / 2,)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def trace(model: nn.Module, samples: Any = None) -> float:
    return sc.trace(sc.Problem(model, data() if samples is None else samples)).value


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch.compile's own
def test_wrappers_are_taken_off() -> None:
    for inner in (plain(), nn.Sequential(plain())):
        for wrapped in (inner, nn.DataParallel(inner), torch.compile(inner), torch.compile(nn.DataParallel(inner))):
            assert unwrapped_model(wrapped) is inner
            assert weights_of(wrapped).keys() == weights_of(inner).keys()
    own = Holder()
    own.module = plain()  # a network of the user's with an attribute of that name
    assert unwrapped_model(own) is own
    model = plain()
    assert monitor()(torch.compile(model), 0) == monitor()(model, 0)


def test_sharded_parameters_are_refused_in_a_line() -> None:
    with pytest.raises(sc.Misuse, match="sharded by FullyShardedDataParallel, so that no process has all weights"):
        unwrapped_model(FullyShardedDataParallel())
    model = plain()
    model[0].weight.ds_id = 1
    with pytest.raises(sc.Misuse, match="spread over processes"):
        unwrapped_model(nn.Sequential(model))


def test_a_copy_shares_the_numbers_of_parameters_alone() -> None:
    model = network().train()
    model[0].weight.grad = torch.ones(5, 6)
    twin, left_out = copied(model)
    assert not twin.training
    assert left_out == []
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p is not q
        assert p.data_ptr() == q.data_ptr()
        assert q.grad is None
    assert all(p.data_ptr() != q.data_ptr() for p, q in zip(model.buffers(), twin.buffers(), strict=True))
    tied = plain()
    tied.twice = tied[0]
    twin, _ = copied(tied)
    assert twin.twice is twin[0]


def test_hooks_of_the_user_are_not_called_and_this_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model, seen = plain(), []
    alone = monitor()(model, 0)
    model[1].register_forward_hook(lambda *given: seen.append(given))
    model[0].register_full_backward_hook(lambda *given: seen.append(given))
    watch = monitor(every=1)
    everywhere = register_module_forward_hook(lambda *given: seen.append(given))
    try:
        assert watch(model, 0) == watch(model, 1) == alone
    finally:
        everywhere.remove()
    assert seen == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "forward hooks at 1 are not called when curvature is measured; those that are methods of the model are"
    )


def test_hooks_that_compute_the_network_are_called_on_the_copy() -> None:
    x, y = data()
    model = Scaled()
    found = monitor(measures="trace")(model, 0)
    assert found is not None
    assert model.calls == 0
    assert found["trace"].value == pytest.approx(trace(model.inner, (x / 2, y)), rel=1e-5)
    with pytest.warns(FutureWarning):
        normed = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 3)))
    normed(x).sum().backward()  # leaves a weight with a graph, which copy refuses
    found = monitor(measures="trace")(normed, 0)
    assert found is not None
    fresh = nn.utils.parametrizations.weight_norm(nn.Linear(6, 3))
    fresh.load_state_dict(dict(zip(fresh.state_dict(), normed.state_dict().values(), strict=True)))
    assert found["trace"].value == pytest.approx(trace(fresh), rel=1e-5)


def test_what_a_forward_writes_to_its_module_stays_out_of_the_training() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls, self.held = plain(), 0, []
            self.generator = torch.Generator().manual_seed(1)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.held.append(len(x))
            return self.inner(x)

    model = Counting()
    before = dict(left_behind(model))
    assert monitor(measures="trace")(model, 0) is not None
    assert (model.calls, model.held, dict(left_behind(model)) == before) == (0, [], True)


def test_a_forward_under_autocast_of_accelerate_is_measured_without_it() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    model = plain()
    alone = monitor()(model, 0)
    AcceleratorState._reset_state(True)  # one for a process, which another test may have made
    try:
        prepared = Accelerator(mixed_precision="bf16", cpu=True).prepare(model)
    finally:
        AcceleratorState._reset_state(True)
    assert "forward" in vars(prepared)
    assert monitor()(prepared, 0) == alone


def test_frozen_parameters_are_held_fixed() -> None:
    model = plain()
    model[0].requires_grad_(False)
    found = monitor(measures="trace")(model, 0)
    assert found is not None
    assert found["trace"].value == pytest.approx(trace(model), rel=1e-12)


def test_only_rank_0_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = monitor(every=1)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank, measured in ((1, False), (0, True)):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        assert (watch(plain(), rank) is not None) is measured


@pytest.mark.parametrize("missing", ["transformers", "pytorch_lightning"])
def test_a_missing_package_is_named_with_its_command(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import scalecurv.callbacks as callbacks

    name, home = {
        "transformers": ("HuggingFaceCallback", "scalecurv.callbacks.hugging_face"),
        "pytorch_lightning": ("LightningCallback", "scalecurv.callbacks.lightning"),
    }[missing]
    monkeypatch.delitem(vars(callbacks), name, raising=False)
    monkeypatch.delitem(sys.modules, home, raising=False)
    for package in (missing, "lightning", "lightning.pytorch"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(sc.Misuse, match=f"{name} needs .*pip install"):
        getattr(callbacks, name)
    assert Monitor is callbacks.Monitor
