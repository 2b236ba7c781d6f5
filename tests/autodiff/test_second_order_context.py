"""twice_differentiable changes torch while it is entered, and leaves it as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import CheckpointFunction, checkpoint, checkpoint_sequential

from scalecurv.autodiff.second_order import _DIRECT, REPLACEMENTS, _without, twice_differentiable

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def net() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def state() -> list[Any]:
    """Everything that the context may touch."""
    return [
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cudnn.enabled,
        torch.backends.mkldnn.enabled,
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.backends.cuda.math_sdp_enabled(),
        torch.utils.checkpoint._checkpoint_without_reentrant_generator,
        torch.utils.checkpoint.CheckpointFunction,
        dict(vars(CheckpointFunction)),
        len(_get_current_function_mode_stack()),
    ]


def hessian_products(module: nn.Module) -> list[Tensor]:
    """H times a block of two, as the operators take it."""
    weights = {name: p.detach() for name, p in module.named_parameters()}

    def loss(w: dict[str, Tensor]) -> Tensor:
        with twice_differentiable():
            return functional_call(module, w, (X,)).pow(3).sum()

    _, pull = vjp(grad(loss), weights)
    block = {name: torch.stack([w, w.cos()]) for name, w in weights.items()}
    return list(vmap(lambda v: pull(v)[0])(block).values())


class Checkpointed(nn.Module):
    """`net()`, by one of the roads of torch.utils.checkpoint."""

    def __init__(self, road: Callable[[nn.Sequential, Tensor], Tensor]):
        super().__init__()
        self.inner, self.road = net(), road

    def forward(self, x: Tensor) -> Tensor:
        return self.road(self.inner, x)


def test_checkpoints_are_left_out() -> None:
    before = state()
    plain = hessian_products(Checkpointed(lambda inner, x: inner(x)))
    roads = {
        "plain": lambda inner, x: checkpoint(inner, x, use_reentrant=False),
        "reentrant": lambda inner, x: checkpoint(inner, x, use_reentrant=True),
        "by the module": lambda inner, x: torch.utils.checkpoint.checkpoint(inner, x, use_reentrant=False),
        "by the class": lambda inner, x: CheckpointFunction.apply(inner, True, x),
        "sequential": lambda inner, x: checkpoint_sequential(inner, 3, x, use_reentrant=True),
        "sequential, not reentrant": lambda inner, x: checkpoint_sequential(inner, 2, x, use_reentrant=False),
        "with options": lambda inner, x: checkpoint(lambda a, b: inner(a) * b, x, b=1.0, use_reentrant=False),
    }
    for name, road in roads.items():
        assert all(map(torch.equal, hessian_products(Checkpointed(road)), plain)), name
    assert state() == before


def test_outside_checkpoints_are_what_they_were() -> None:
    with twice_differentiable():
        pass
    calls = []
    x = X.clone().requires_grad_()
    for reentrant in (True, False):
        calls.clear()
        out = checkpoint(lambda a: (calls.append(1), a.sin())[1], x, use_reentrant=reentrant)
        out.sum().backward()
        assert len(calls) == 2  # forward, and again for the backward pass


def test_the_state_is_restored_where_the_model_raises() -> None:
    before = state()
    with twice_differentiable():
        inside = state()
        with pytest.raises(ZeroDivisionError), twice_differentiable():
            _ = 1 // 0
        assert state() == inside
    assert all(a != b for a, b in zip(inside[6:7] + inside[8:], before[6:7] + before[8:], strict=True))
    assert state() == before
    recurrent = nn.LSTM(3, 2).double()
    with pytest.raises(RuntimeError), twice_differentiable():
        recurrent(torch.ones(2, 2, 5, dtype=torch.float64))
    assert state() == before


def test_threads_may_enter_and_leave_in_any_order() -> None:
    generator = torch.utils.checkpoint._checkpoint_without_reentrant_generator
    _DIRECT.__enter__()
    _DIRECT.__enter__()  # a second thread
    _DIRECT.__exit__()  # the first leaves before it
    assert torch.utils.checkpoint._checkpoint_without_reentrant_generator is not generator
    _DIRECT.__exit__()
    assert torch.utils.checkpoint._checkpoint_without_reentrant_generator is generator
    assert "apply" not in vars(CheckpointFunction)


def test_what_was_compiled_runs_as_it_was_written() -> None:
    def refuse(graph: Any, inputs: Any) -> Any:
        raise AssertionError("compiled")

    module = net()
    compiled = torch.compile(module, backend=refuse)
    expected, got = hessian_products(module), hessian_products(compiled)
    assert all(map(torch.equal, got, expected))
    with pytest.raises(Exception, match="compiled"):
        compiled(X)


def test_recurrent_nets_leave_the_libraries_that_know_one_derivative() -> None:
    """oneDNN takes an LSTM in float32, and has no forward derivative of it; cuDNN has no second one."""
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 2), torch.randn(4, 2, 3)
    weights = {name: p.detach() for name, p in module.named_parameters()}

    def forward(w: dict[str, Tensor]) -> Tensor:
        with twice_differentiable():
            return functional_call(module, w, (x,))[0]

    with pytest.raises(NotImplementedError, match="forward AD"):
        jvp(lambda w: functional_call(module, w, (x,))[0], (weights,), (weights,))
    _, pushed = jvp(forward, (weights,), (weights,))
    _, pull = vjp(forward, weights)
    (back,) = pull(pushed)
    inner = sum((back[name] * weights[name]).sum() for name in weights)
    torch.testing.assert_close(inner, pushed.square().sum(), rtol=1e-5, atol=0)


def test_the_libraries_are_off_for_these_operations_alone() -> None:
    def recorded() -> list[bool]:
        return [torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled]

    before = recorded()
    assert _without("cudnn", _without("mkldnn", recorded))() == [False, False]
    assert _without("cudnn", recorded)() == [False, before[1]]
    with twice_differentiable():
        assert recorded() == before  # convolutions keep both
    assert recorded() == before
    for operation in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, F.grid_sample):
        assert operation in REPLACEMENTS, operation


def test_replacements_reach_every_transform() -> None:
    def slope(z: Tensor) -> Tensor:
        with twice_differentiable():
            return grad(lambda a: F.hardsigmoid(a).square().sum())(z)

    z = torch.tensor([0.5, 4.0, -1.0], dtype=torch.float64)
    expected = torch.tensor([1 / 18, 0.0, 1 / 18], dtype=torch.float64)
    _, pull = vjp(slope, z)
    for got in (
        pull(torch.ones_like(z))[0],
        jvp(slope, (z,), (torch.ones_like(z),))[1],
        vmap(grad(lambda a: slope(a[None]).sum()))(z),
    ):
        torch.testing.assert_close(got, expected, rtol=1e-14, atol=0)


def test_rrelu_takes_blocks() -> None:
    """Torch has no rule by which vmap maps it, in any of its forms."""
    z = torch.tensor([[0.5, -4.0, -1.0], [-2.0, 3.0, 0.1]], dtype=torch.float64)
    forms = {
        "F.rrelu": lambda a: F.rrelu(a, 0.1, 0.3),
        "F.rrelu in place": lambda a: F.rrelu(a * 1, 0.1, 0.3, inplace=True),
        "torch.rrelu": lambda a: torch.rrelu(a, 0.1, 0.3),
        "torch.rrelu_": lambda a: torch.rrelu_(a * 1, 0.1, 0.3),
        "F.rrelu_": lambda a: F.rrelu_(a * 1, 0.1, 0.3),
    }
    for name, f in forms.items():
        with twice_differentiable():
            slopes = vmap(grad(lambda a: f(a).sum()))(z)  # noqa: B023
        torch.testing.assert_close(slopes, (z > 0).double() * 0.8 + 0.2, rtol=1e-15, atol=0, msg=name)
