"""H, J and the gradient are checked before they are believed: planted faults are found, sound networks pass."""

import re

import pytest
import torch
from torch import Tensor, nn

from scalecurv import Problem, hessian, lambda_max
from scalecurv.errors import CheckpointError
from scalecurv.problem.consistency import APART, check_derivatives
from tests.faults import FAULTS
from tests.loops import each

ADVICE = (
    "by products against differences at 3 step sizes; the model or loss has a backward of its own that is not its "
    "derivative (autograd.Function, hook, detach), or an operation that torch differentiates wrongly: write it in "
    "plain operations, or hold these parameters fixed by requires_grad_(False)"
)


def drawn(make, seed: int = 0, num_data: int = 20, loss: str = "cross_entropy", **options) -> Problem:  # type: ignore[no-untyped-def]
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make().double().eval()
    x = torch.randn(num_data, 5, generator=rng, dtype=torch.float64)
    y = torch.randint(3, (num_data,), generator=rng)
    return Problem(model, (x, y), loss, **options)


def fault(problem: Problem) -> str:
    try:
        check_derivatives(problem)
    except CheckpointError as error:
        return str(error)
    return ""


def test_planted_faults_are_found_and_the_parameters_named() -> None:
    assert len(FAULTS) >= 20
    missed = []
    for i, (name, (make, spoiled)) in enumerate(FAULTS.items()):
        loss = ("cross_entropy", "mse")[i % 2]
        line = fault(drawn(make, loss=loss))
        named = set(re.findall(r"'(\w+)\.\w+'", line))
        if not line.endswith(ADVICE) or "\n" in line or not named & set(spoiled):
            missed.append((name, loss, line))
    assert not missed


def test_without_its_fault_each_of_these_networks_passes() -> None:
    sound = (torch.sin, torch.relu, nn.functional.softplus, lambda h: h**3, lambda h: h / h.norm(dim=1, keepdim=True))
    for seed in range(3):
        assert fault(drawn(FAULTS["gradient halved"][0], seed)) != ""
        for act in sound:
            model = FAULTS["gradient halved"][0]()
            model.act = act
            assert fault(drawn(lambda model=model: model, seed)) == ""


def test_nothing_is_answered_at_a_point_that_fails() -> None:
    problem = drawn(FAULTS["norm detached"][0])
    for ask in (hessian, lambda_max):
        with pytest.raises(
            CheckpointError, match=r"^the gradient is not that of the loss: off by .* of 'first.weight'"
        ):
            ask(problem)


def test_a_padding_row_is_held_fixed_and_no_fault() -> None:
    model = nn.Sequential(nn.Embedding(6, 3, padding_idx=0), nn.Flatten(), nn.Tanh(), nn.Linear(12, 3)).double()
    with torch.no_grad():
        model[0].weight.normal_()
    x = torch.arange(24).view(6, 4) % 6
    assert fault(Problem(model, (x, torch.arange(6) % 3))) == ""


class Narrow(nn.Module):
    """A part of it computes in float32 whatever comes in, as norms of language models do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(x).float()).to(x.dtype))


def test_where_the_model_rounds_to_float32_differences_decide_nothing() -> None:
    assert fault(drawn(Narrow)) == ""


@each(phi=[nn.ReLU, nn.ELU, nn.Hardtanh, nn.Softshrink])
def test_ties_and_kinks_are_no_faults(phi: type[nn.Module]) -> None:
    """Zero inputs and zero biases put pre-activations on the kink exactly; many samples put some close to it."""

    def make() -> nn.Module:
        model = nn.Sequential(nn.Linear(5, 40), phi(), nn.Linear(40, 40), phi(), nn.Linear(40, 3))
        for part in model[::2]:
            nn.init.zeros_(part.bias)
        return model

    problem = drawn(make, num_data=400)
    problem.x[:100] = 0
    assert fault(problem) == ""


def test_it_is_made_near_theta_and_moves_nothing() -> None:
    problem = drawn(FAULTS["mean detached"][0], dtype=torch.float32)
    before = problem.theta.clone(), problem.x.clone()
    assert fault(problem)
    assert torch.equal(problem.theta, before[0])
    assert torch.equal(problem.x, before[1])
    assert APART < 1e-2


def test_a_block_is_checked_by_its_own_rows() -> None:
    """Where only what the fault spoils is held fixed, the rest is right."""
    make = FAULTS["norm detached"][0]
    assert fault(drawn(make).restricted("^head")) == ""
    assert fault(drawn(make).restricted("^first"))


def test_where_differences_are_rounding_nothing_is_refused() -> None:
    """Weights and gradients far below the rounding of the loss: deep, tiny, in blocks of the first layer."""
    alarms = []
    for i, phi in enumerate((nn.Sigmoid, nn.GELU, nn.ReLU, nn.Tanh)):
        for j, (depth, scale) in enumerate(((8, 1.0), (20, 1.0), (50, 1.0), (8, 1e-12), (20, 3.0))):

            def make(phi=phi, depth: int = depth, scale: float = scale) -> nn.Module:  # type: ignore[no-untyped-def]
                inner = [part for _ in range(depth) for part in (nn.Linear(8, 8), phi())]
                model = nn.Sequential(nn.Linear(5, 8), phi(), *inner, nn.Linear(8, 3)).requires_grad_(False)
                for parameter in model.parameters():
                    parameter.mul_(scale)
                return model.requires_grad_()

            block = (None, "^0[.]")[(i + j) % 2]
            if line := fault(drawn(make).restricted(block)):
                alarms.append((phi.__name__, depth, scale, block, line))
    assert not alarms


class Positive(nn.Module):
    """A scale that has to be positive, one entry of it all but zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale = nn.Linear(5, 3), nn.Parameter(torch.tensor([1.0, 1e-5, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        if bool((self.scale < 0).any()):
            raise ValueError("negative scale")
        return self.first(x) * self.scale.sqrt()


def test_no_parameter_changes_its_sign() -> None:
    assert fault(drawn(Positive)) == ""


def test_a_wider_type_inside_hides_no_fault() -> None:
    model = FAULTS["gradient halved"][0]()
    inner = model.act
    model.act = lambda h: inner(h.to(torch.complex128).real)
    assert fault(drawn(lambda: model)).startswith("the gradient is not that of the loss")
