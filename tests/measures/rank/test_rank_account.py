"""Where the parameters go: entries that add up to P on every network, and mean what they say."""

import itertools

import pytest
import torch
from torch import nn

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.bounds import Bound
from scalecurv.measures.rank.exact import ExactRank, exact_rank
from scalecurv.measures.rank.rank import ACCOUNT, rank_account
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.piecewise import LEAKY, Shape

SHAPES = {
    "relu": Shape((4, 5, 3, 2), (nn.ReLU, nn.ReLU)),
    "no biases": Shape((4, 6, 2), (nn.ReLU,), (False, False)),
    "leaky": Shape((3, 4, 4, 1), (LEAKY, nn.ReLU), (True, False, True)),
    "linear": Shape((4, 3, 4, 2), (nn.Identity, nn.Identity)),
    "one layer": Shape((5, 3)),
}
FLAWS = ("none", "dead", "zero input", "few samples", "twins")
NETS = [*itertools.product(SHAPES, FLAWS, range(2))]


def point(name: str, flaw: str, seed: int) -> Problem:
    shape = SHAPES[name]
    num_data = 3 if flaw == "few samples" else 24
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = shape.build().double()
        x = torch.randn(num_data, shape.widths[0], dtype=torch.float64)
    with torch.no_grad():
        if flaw == "dead":
            for parameter in model[0].parameters():
                parameter[0] = -1.0
            x = x.abs()
        if flaw == "twins":
            for parameter in model[0].parameters():
                parameter[1] = parameter[0]
    if flaw == "zero input":
        x[:, 1] = 0
    return Problem(model, (x, torch.zeros(num_data, shape.widths[-1])), "mse")


def asked(at: Problem, memory: int = 2 << 30) -> tuple[ExactRank, dict[str, int]]:
    exact = exact_rank(Evaluation(at), memory)
    assert exact is not None
    account = rank_account(exact, at.num_params)
    assert set(account) == set(ACCOUNT)
    whole = exact.num_samples == exact.num_data
    assert {e.status for e in account.values()} == (
        {Status.EXACT} if whole else {Status.EXACT, Status.LOWER_BOUND, Status.BUDGET}
    )
    assert all(e.value == int(e.value) for e in account.values())
    return exact, {name.removeprefix("account_"): int(e.value) for name, e in account.items()}


@each(("name", "flaw", "seed"), NETS)
def test_it_adds_up(name: str, flaw: str, seed: int) -> None:
    at = point(name, flaw, seed)
    J = dense_at(at).jacobian
    exact, found = asked(at)
    assert exact.lower == torch.linalg.matrix_rank(J)
    assert exact.lower + sum(found.values()) == at.num_params
    assert min(found.values()) >= 0
    assert found["dead"] == int((J == 0).all(0).sum())
    assert found["rescaling"] == live_neurons(at, J)


def live_neurons(at: Problem, J: torch.Tensor) -> int:
    """Hidden neurons of which some weight or bias moves an output."""
    count = 0
    linears = [name for name, m in at.model.named_modules() if isinstance(m, nn.Linear)]
    for name in linears[:-1]:
        weight = J[:, at.space.slices[f"{name}.weight"]]
        moved = weight.reshape(len(J), *at.space.shapes[f"{name}.weight"]).abs().amax((0, 2)) > 0
        if f"{name}.bias" in at.space.slices:
            moved |= J[:, at.space.slices[f"{name}.bias"]].abs().amax(0) > 0
        count += int(moved.sum())
    return count


@pytest.mark.parametrize("memory", [1, 9_000, 20_000])
def test_it_adds_up_where_samples_are_left_out(memory: int) -> None:
    """Dead is what is dead on all samples; how many neurons are live is said of those that were seen."""
    at = point("relu", "dead", 0)
    exact, found = asked(at, memory)
    assert exact.num_samples < 24
    assert exact.lower + sum(found.values()) == at.num_params
    assert min(found.values()) >= 0
    assert found["dead"] == int((dense_at(at).jacobian == 0).all(0).sum())
    whole, _ = asked(at)
    parts, truth = rank_account(exact, at.num_params), rank_account(whole, at.num_params)
    for name in ("account_rescaling", "account_data_limited", "account_unexplained"):
        assert parts[name].method.endswith(f", {exact.num_samples} of 24 samples")
        assert parts[name].lower <= truth[name].value <= parts[name].upper


def test_by_hand() -> None:
    """2-2-1, one neuron dead, one input 0: J has the columns x, 1, x + 1 and 1, and five of zeros."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, 0.0]]))
        model[0].bias.copy_(torch.tensor([1.0, -1.0]))
        model[2].weight.fill_(1.0)
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    exact, found = asked(Problem(model, (x, x[:, :1]), "mse"))
    assert exact.lower == 2
    assert found == {"dead": 5, "rescaling": 1, "data_limited": 1, "unexplained": 0}


def test_what_no_bound_explains() -> None:
    """P = 20: 6 dead, 2 rescaled, bounds of 9 and 10, rank 7."""
    exact = ExactRank(7, {"rows": Bound(10), "neurons": Bound(9, unproven=2)}, 0.5, 1, 14, 2, 4, 4)
    found = {name: e.value for name, e in rank_account(exact, 20).items()}
    assert found == {
        "account_dead": 6,
        "account_rescaling": 2,
        "account_data_limited": 14 - 2 - 9,
        "account_unexplained": 9 - 7,
    }
