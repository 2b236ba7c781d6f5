"""Preflight lets draws without effect and differences at rounding level pass, and nothing larger."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from scalecurv.errors import Misuse
from scalecurv.problem.preflight import preflight
from scalecurv.problem.problem import Problem
from tests.acting import at, consistently_shuffled, drawn_in_vain, rounding
from tests.loops import each
from tests.networks import NETWORKS, data, problem

PASSES: dict[str, Callable[[Tensor], Tensor]] = {
    "shuffled and put back": consistently_shuffled,
    "drawn in vain": drawn_in_vain,
    "seeded by itself": lambda h: h + torch.randn(h.shape[1], generator=torch.Generator().manual_seed(0)),
    "rounding": rounding(2e-11),
    "infinite throughout": lambda h: h / 0,
    "no number throughout": lambda h: h * torch.nan,
    "masked": lambda h: h.masked_fill(torch.tensor([False, True, False]), -torch.inf),
    "zero throughout": lambda h: h * 0,
}


@each(name=PASSES)
def test_what_has_no_effect_passes(name: str) -> None:
    preflight(at(PASSES[name]))


@each(name=NETWORKS, dtype=[torch.float32, torch.float64])
def test_plain_networks_pass(name: str, dtype: torch.dtype) -> None:
    preflight(problem(name, dtype=dtype, batch_size=3))


@pytest.mark.parametrize(("size", "passes"), [(2e-5, True), (2e-4, False)])
def test_rounding_in_single_precision(size: float, passes: bool) -> None:
    point = at(rounding(size), dtype=torch.float32)
    if passes:
        return preflight(point)
    with pytest.raises(Misuse, match=r"^the model's outputs change by 4.0e-04 of the largest "):
        preflight(point)
    return None


@pytest.mark.parametrize(
    ("dtype", "size", "passes"),
    [
        (torch.float64, 1e-9, True),
        (torch.float64, 1e-7, False),
        (torch.float32, 1e-4, True),
        (torch.float32, 2e-3, False),
    ],
)
def test_the_level_of_rounding_between_batches(dtype: torch.dtype, size: float, passes: bool) -> None:
    point = at(lambda h: h * (1 + size * (len(h) > 1)), dtype=dtype)
    if passes:
        return preflight(point)
    with pytest.raises(Misuse, match=f"^the outputs of 7 samples change by {size:.1e} of the largest when each is"):
        preflight(point)
    return None


def wide(threads: int) -> Problem:
    """4096 inputs in single precision, whose outputs cancel to rounding level on the very samples they are asked at."""
    torch.set_num_threads(threads)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(8, 4096, generator=rng, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(4096, 64, bias=False), nn.Linear(64, 3, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(64, 4096, generator=rng, dtype=torch.float64) / 64)
        basis = torch.linalg.qr((x @ model[0].weight.T).T).Q
        free = torch.randn(3, 64, generator=rng, dtype=torch.float64)
        model[1].weight.copy_(free - free @ basis @ basis.T)
    return Problem(model, (x, torch.zeros(8, 3)), "mse", dtype=torch.float32)


@each(threads=[1, 2])
def test_outputs_that_cancel_are_rounding_and_pass(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        point = wide(threads)
        f, alone = (torch.cat([point.outputs(point.theta, x) for x in point.x.split(size)]) for size in (8, 1))
        assert float((f - alone).abs().max() / f.abs().max()) > 0.01  # by far too much, were it not for cancellation
        preflight(point)
    finally:
        torch.set_num_threads(before)


class Recurrent(nn.Module):
    """A GRU over three pairs of inputs, read at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(2, 5, num_layers=2, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x.reshape(-1, 3, 2))[0][:, -1])


def attentive() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (1, 6)), layer, nn.Flatten(), nn.Linear(6, 3)).eval()


@each(make=[Recurrent, attentive], dtype=[torch.float32, torch.float64])
def test_modules_that_do_much_inside_pass(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        preflight(Problem(make(), data("mse", num_data=20), "mse", dtype=dtype))
