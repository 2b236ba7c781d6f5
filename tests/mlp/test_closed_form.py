"""Which models have products in closed form, and how long a pass is kept."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from scalecurv.errors import Misuse
from scalecurv.mlp.closed_form import closed_form, pass_of
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.operators.products import differentiation, loss_and_gradient
from scalecurv.problem import graphs
from scalecurv.problem.problem import Problem
from tests.networks import data, network, problem


def altered(change: Callable[[nn.Sequential], object]) -> nn.Module:
    model = network("tanh")
    assert isinstance(model, nn.Sequential)
    change(model)
    return model


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Halved(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


def of_its_own(layer: nn.Module) -> None:
    layer.forward = lambda x: 3 * nn.Tanh()(x)  # type: ignore[method-assign]


OTHERS: dict[str, nn.Module] = {
    "a hook": altered(lambda m: m[1].register_forward_hook(lambda module, x, out: 2 * out)),
    "a hook before": altered(lambda m: m[2].register_forward_pre_hook(lambda module, x: (x[0] + 1,))),
    "a frozen bias": altered(lambda m: m[0].bias.requires_grad_(False)),
    "a forward of the instance": altered(lambda m: of_its_own(m[1])),
    "a layer of a subclass": altered(lambda m: m.__setitem__(4, Doubled(4, 3).double())),
    "a subclass": Halved(*network("tanh").children()),
    "a softmax inside": altered(lambda m: m.__setitem__(1, nn.Softmax(1))),
    "tied layers": network("tied"),
    "a convolution": network("conv"),
    "batch norm": network("batch norm"),
}


def test_others_are_left_to_autograd() -> None:
    for name, model in OTHERS.items():
        point = Problem(model, data("mse"), "mse")
        assert closed_form(point) is None, name
        assert differentiation(point) in ("torch.func", "autograd"), name
    assert closed_form(problem("tanh", params="weight")) is None
    assert differentiation(problem("tanh")) == "closed form"


def test_images_that_are_flattened_first() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = torch.randn(5, 3, 2, 2, dtype=torch.float64), torch.arange(5) % 3
    images, rows = Problem(model, (x, y)), Problem(nn.Sequential(*model[1:]), (x.flatten(1), y))
    assert closed_form(images) is not None
    V = torch.randn(images.num_params, 2, dtype=torch.float64)
    assert torch.equal(HessianOperator(images).matmat(V), HessianOperator(rows).matmat(V))


def test_each_dtype_and_each_narrow_checkpoint() -> None:
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        point = Problem(network("relu").to(dtype), data("cross_entropy"))
        assert closed_form(point) is not None, dtype
        V = torch.randn(point.num_params, 2, generator=torch.Generator().manual_seed(0)).to(point.dtype)
        by_graph = graphs.hessian_product(point, point.whole)(V)
        eps = torch.finfo(point.dtype).eps
        torch.testing.assert_close(HessianOperator(point).matmat(V), by_graph, rtol=0, atol=40 * eps)


def test_passes_are_kept_as_far_as_their_share_goes() -> None:
    """Three mini-batches of 3, 3 and 1 samples, of 3 * 9 + 2 * 3 = 33 scalars a sample."""
    for samples, kept in ((100, [True, True, True]), (7, [True, True, True]), (6, [True, True, False])):
        for memory in (4 * 8 * 33 * samples, 4 * 8 * 33 * samples + 31):
            point = problem("relu", batch_size=3, memory=memory)
            mlp = closed_form(point)
            assert mlp is not None
            made = [[pass_of(point, mlp, batch) for batch in point.batches()] for _ in range(2)]
            assert [first is again for first, again in zip(*made, strict=True)] == kept


def test_what_is_kept_is_what_was_counted() -> None:
    """The tensors of a pass after a product with H are those in the footprint, inputs of the data left out."""
    for name in ("relu", "tanh"):
        point = problem(name, "cross_entropy", dtype=torch.float32)
        mlp = closed_form(point)
        assert mlp is not None
        made = pass_of(point, mlp, point.whole)
        made.hessian(point.theta[:, None])
        deltas, turned, _ = made.deltas
        tensors = [*made.inputs[1:], *made.slopes, *made.bends, made.outputs, *deltas, *turned]
        held = sum(t.numel() for t in tensors if t is not None)
        assert held == point.footprint.kept * point.num_data


def test_a_problem_goes_with_its_passes() -> None:
    """No pass holds the problem that it is filed in, so that memory is free when the last name of it goes."""
    point = problem("relu")
    loss_and_gradient(point)
    HessianOperator(point).matmat(point.theta[:, None])
    JacobianOperator(point).matmat(point.theta[:, None])
    mlp = closed_form(point)
    assert mlp is not None
    passed = weakref.ref(pass_of(point, mlp, point.whole))
    gc.disable()
    try:
        del point
        assert passed() is None
    finally:
        gc.enable()


def test_weights_that_are_no_numbers_and_products_that_overflow() -> None:
    model = network("relu")
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(Misuse, match=r"parameter '0\.weight'"):
        Problem(model, data("mse"), "mse")
    point = problem("relu", dtype=torch.float32)
    assert closed_form(point) is not None
    with pytest.raises(FloatingPointError, match=r"a product in .* is not finite; try --dtype"):
        JacobianOperator(point).matmat(torch.full((74, 1), 3e38))


def test_data_that_their_owner_writes_to_are_read_again() -> None:
    x, y = torch.randn(9, 6, dtype=torch.float64), torch.randn(9, 3, dtype=torch.float64)
    model = network("tanh").double()
    point, v = Problem(model, (x, y), "mse"), torch.ones(1)
    v = v.double().expand(point.num_params).contiguous()
    H = HessianOperator(point)
    before = H @ v
    x.mul_(2)
    after = H @ v
    assert torch.equal(after, HessianOperator(Problem(model, (x, y), "mse")) @ v)
    assert not torch.allclose(before, after)
