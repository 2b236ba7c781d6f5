"""Each layer's share of tr H in D backward passes is that of the dense Hessian and of the dense Gauss-Newton matrix."""

import torch
from torch import Tensor, nn

from scalecurv.mlp.layers import structure_of
from scalecurv.mlp.trace import layer_traces
from scalecurv.problem.problem import Problem
from tests.dense import dense
from tests.loops import each
from tests.piecewise import CASES, Case, close, laid_open, layer_slices, opened, truth


def shares(matrix: Tensor, slices: list[slice]) -> list[float]:
    return [float(matrix[rows, rows].trace()) for rows in slices]


@each(case=CASES)
def test_the_share_of_each_layer(case: Case) -> None:
    problem, mlp = opened(case)
    exact, slices = truth(case), layer_slices(problem, mlp)
    traces = layer_traces(problem, mlp)
    close(traces, shares(exact.hessian, slices))
    close(traces, shares(exact.gauss_newton, slices))


@each(
    shape=["one layer, no bias", "some biases", "deep"],
    options=[{"batch_size": 3}, {"batch_size": 1}, {"memory": 1}, {"batch_size": 3, "memory": 1}],
    reduction=["mean", "sum"],
)
def test_neither_mini_batches_nor_memory_matter(shape: str, options: dict, reduction: str) -> None:
    """7 samples by 3 leave a ragged batch; one byte of memory leaves pieces of one sample."""
    case = Case(shape, "soft", reduction, trained=True)
    problem, mlp = opened(case, **options)
    close(layer_traces(problem, mlp), shares(truth(case).hessian, layer_slices(problem, mlp)))


def test_images_behind_a_flatten() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    x, y = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    problem, mlp = laid_open(Problem(model, (x, y), "mse", batch_size=2))
    close(layer_traces(problem, mlp), shares(dense(model, x, y, "mse").hessian, layer_slices(problem, mlp)))


@each(loss=["mse", "cross_entropy"])
def test_single_precision_cast_up(loss: str) -> None:
    """The parameters as stored in float32, everything after that in float64."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    x, y = torch.randn(6, 3), torch.randn(6, 2) if loss == "mse" else torch.tensor([0, 1, 1, 0, 1, 0])
    single, mlp = laid_open(Problem(model, (x, y), loss))
    assert single.dtype == torch.float32
    double = single.astype(torch.float64)
    traces = layer_traces(double, mlp)
    exact = dense(model.double(), x.double(), y.double() if loss == "mse" else y, loss)
    close(traces, shares(exact.hessian, layer_slices(double, mlp)))
    gap = (layer_traces(single, mlp) - traces).abs() / traces
    assert 0 < gap.max() < 1e-5  # that of the weights' products in float32


@each(options=[{}, {"batch_size": 1}, {"memory": 1}])
def test_sums_over_samples_lose_nothing_in_single_precision(options: dict) -> None:
    """Squares 2^24, 1, ..., 1 of 8 samples add up to 2^24 + 7, which no float32 is."""
    x = torch.ones(8, 1)
    x[0] = 4096
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    problem, mlp = laid_open(Problem(model, (x, x), "mse", reduction="sum", **options))
    assert layer_traces(problem, mlp).tolist() == [2**24 + 7]


def test_sums_over_neurons_lose_nothing_in_single_precision() -> None:
    """Squares as in the test above, as weights behind 8 neurons that pass on 1."""
    model, x = nn.Sequential(nn.Linear(1, 8, bias=False), nn.ReLU(), nn.Linear(8, 1, bias=False)), torch.ones(1, 1)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1)
        model[2].weight[0, 0] = 4096
    problem, mlp = laid_open(Problem(model, (x, x), "mse"))
    assert layer_traces(problem, mlp).tolist() == [2**24 + 7, 8]


@each(phi=[nn.ReLU, nn.LeakyReLU, nn.Hardtanh])
def test_activations_in_place(phi: type[nn.Module]) -> None:
    torch.manual_seed(2)
    first, last = nn.Linear(3, 5).double(), nn.Linear(5, 2).double()
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    apart, mlp = laid_open(Problem(nn.Sequential(first, phi(), last), (x, y), "mse"))
    inside, same = laid_open(Problem(nn.Sequential(first, phi(inplace=True), last), (x, y), "mse"))
    assert layer_traces(inside, same).tolist() == layer_traces(apart, mlp).tolist()


def test_the_diagonal_is_shared_for_no_smooth_activation() -> None:
    """The control: tanh is refused, and with reason, since tr H misses tr G by more than a hundredth of it."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    assert structure_of(Problem(model, (x, y), "mse")) is None
    exact = dense(model, x, y, "mse")
    assert abs(exact.hessian.trace() - exact.gauss_newton.trace()) > 0.01 * exact.gauss_newton.trace()
