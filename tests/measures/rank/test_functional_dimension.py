"""How many directions any inputs can tell apart: met where theory says so, never passed, and a bound where it stops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scalecurv.measures.rank.functional_dimension as module
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.rank.exact import exact_rank
from scalecurv.measures.rank.functional_dimension import (
    decisive_inputs,
    functional_ceiling,
    functional_dimension,
    gaussian_inputs,
)
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Estimate, Status
from tests.dense import dense_at
from tests.loops import each
from tests.piecewise import LEAKY, Shape, laid_open

MEMORY = 2 << 30
SHALLOW = Shape((1, 5, 1), (nn.ReLU,))
DEEP = Shape((2, 3, 3, 3, 1), (nn.ReLU, nn.ReLU, nn.ReLU))
SHAPES = {
    "shallow": Shape((3, 4, 2), (nn.ReLU,)),
    "no biases": Shape((3, 4, 3, 2), (nn.ReLU, LEAKY), (False,) * 3),
    "some biases": Shape((2, 4, 3, 2), (LEAKY, nn.ReLU), (True, True, False)),
    "deep": DEEP,
    "linear": Shape((3, 4, 3), (nn.Identity,)),
    "one layer": Shape((4, 3)),
}


def point(shape: Shape, num_data: int = 5, seed: int = 0, x: Tensor | None = None) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = shape.build().double()
        x = torch.randn(num_data, shape.widths[0], dtype=torch.float64) if x is None else x
    return Problem(model, (x, torch.zeros(len(x), shape.widths[-1])), "mse")


def asked(at: Problem, output: str = "logits", memory: int = MEMORY, seed: int = 0) -> Estimate:
    return functional_dimension(Evaluation(at, seed), memory, output)


def parts(found: Estimate) -> dict[str, int]:
    """The method's account: which inputs, and what they showed."""
    said = found.method.removeprefix("best of ")
    return {name: int(rank) for name, rank in (part.rsplit(" ", 1) for part in said.split(", "))}


@each(seed=range(4))
def test_decisive_inputs_meet_the_ceiling_of_one_hidden_layer(seed: int) -> None:
    """1-5-1: P - h = 16 - 5, however few the data."""
    at = point(SHALLOW, 3, seed)
    found = asked(at, seed=seed)
    assert (found.value, found.lower, found.upper, found.confidence) == (11, 11, 11, 1.0)
    assert (found.status, found.num_samples, found.num_matvecs) == (Status.CERTIFIED, 0, 0)
    assert parts(found) == {"data": int(torch.linalg.matrix_rank(dense_at(at).jacobian)), "decisive": 11}


def test_data_that_show_everything_are_enough() -> None:
    at = point(SHALLOW)
    at = point(SHALLOW, x=decisive_inputs(at.model[0].weight.detach(), at.model[0].bias.detach(), 8))
    assert parts(asked(at)) == {"data": 11}


@each(output=["logits", "prob"], name=SHAPES)
def test_it_lies_between_the_data_and_the_ceiling(name: str, output: str) -> None:
    if output == "prob" and SHAPES[name].widths[-1] == 1:
        return
    at = point(SHAPES[name], 6, 1)
    found = asked(at, output)
    exact = exact_rank(Evaluation(at), MEMORY, output)
    assert exact is not None
    ceiling = functional_ceiling(*laid_open(at), output)
    counted = name != "no biases"  # a sample that switches the first layer off is at all folds of the second
    assert parts(found).get("data") == (exact.lower if counted else None)
    assert exact.lower <= found.value == max(parts(found).values()) <= found.upper == ceiling
    assert found.status is (Status.CERTIFIED if found.value == ceiling else Status.LOWER_BOUND)
    x = torch.cat([at.x, gaussian_inputs(300, at.x.shape[1], 7)])
    J = dense_at(point(SHAPES[name], seed=1, x=x)).jacobian
    if output == "prob":
        J = J.view(len(x), -1, J.shape[1])
        J = (J - J.mean(1, keepdim=True)).flatten(0, 1)
    assert np.linalg.matrix_rank(J.numpy()) <= found.upper


def test_the_ceiling_by_hand() -> None:
    """3-4-2: P = 26. Of probabilities one vector of 4 weights and a bias goes as well, where there is one."""
    at = laid_open(point(SHAPES["shallow"]))
    assert functional_ceiling(*at, "logits") == 26 - 4
    assert functional_ceiling(*at, "prob") == 26 - 4 - 5
    at = laid_open(point(Shape((3, 4, 2), (nn.ReLU,), (True, False))))
    assert functional_ceiling(*at, "prob") == 24 - 4 - 4
    assert asked(point(SHAPES["shallow"]), "prob").value == 26 - 4 - 5


@pytest.mark.parametrize("zero", [0.0, 1e-300])
def test_data_at_a_fold_do_not_count(zero: float) -> None:
    """At the origin, all biases 0: within rounding of every fold."""
    at = point(SHALLOW, x=torch.tensor([[1.0], [zero], [-1.0]], dtype=torch.float64))
    with torch.no_grad():
        at.model[0].bias.zero_()
    at = Problem(at.model, (at.x, at.y), "mse")
    assert ("data" in parts(asked(at))) == (zero > 0)
    assert "data" in parts(asked(Problem(at.model, (at.x[[0, 2]], at.y[[0, 2]]), "mse")))


def test_inputs_at_a_fold_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """All Gaussian inputs but two lie on one; the rank is that of the two."""
    at = point(SHALLOW, x=torch.zeros(1, 1, dtype=torch.float64))
    with torch.no_grad():
        at.model[0].bias.zero_()
    at = Problem(at.model, (at.x, at.y), "mse")
    two = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    monkeypatch.setattr(module, "decisive_inputs", lambda *_: torch.zeros(6, 1, dtype=torch.float64))
    monkeypatch.setitem(module.INPUTS, "heavy-tailed", lambda *_: torch.zeros(9, 1, dtype=torch.float64))
    monkeypatch.setitem(module.INPUTS, "Gaussian", lambda *_: torch.cat([torch.zeros(9, 1), two]).double())
    found = asked(at)
    assert parts(found) == {"decisive": 0, "Gaussian": 2, "heavy-tailed": 0}
    assert (found.value, found.upper, found.status) == (2, 11, Status.LOWER_BOUND)


def test_batches_grow_until_they_show_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """From twice the ceiling, four times as many each; the last ones showed what those before them had."""
    counts, ranks = [], []
    gaussian, rank = module.gaussian_inputs, module._Search.rank
    monkeypatch.setitem(module.INPUTS, "Gaussian", lambda n, *rest: counts.append(n) or gaussian(n, *rest))

    def seen(search: object, x: Tensor) -> int:
        ranks.append(rank(search, x))
        return ranks[-1]

    monkeypatch.setattr(module._Search, "rank", seen)
    found = asked(point(DEEP, seed=3))
    assert found.status is Status.LOWER_BOUND
    assert found.lower == found.value < found.upper == 37 - 9
    assert counts == [2 * 28 * 4**i for i in range(len(counts))]
    assert len(counts) >= 2
    best = [max(pair) for pair in zip(ranks[::2], ranks[1::2], strict=True)]
    assert max(best[-1], best[-2]) == best[-2] == found.value
    assert set(parts(found)) == {"data", "Gaussian", "heavy-tailed"}


def test_several_outputs_need_fewer_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    monkeypatch.setitem(module.INPUTS, "Gaussian", lambda n, *rest: counts.append(n) or gaussian_inputs(n, *rest))
    at = point(SHAPES["some biases"])
    asked(at)
    assert counts[0] == math.ceil(2 * (33 - 7) / 2)


@pytest.mark.parametrize(("work", "memory"), [(0.0, MEMORY), (2e12, 2000)])
def test_what_costs_too_much_is_not_tried(monkeypatch: pytest.MonkeyPatch, work: float, memory: int) -> None:
    monkeypatch.setattr(module, "WORK", work)
    shown = exact_rank(Evaluation(point(SHALLOW, 3)), memory)
    found = asked(point(SHALLOW, 3), memory=memory)
    assert parts(found) == {"data": shown.lower}
    assert (found.value, found.upper, found.status) == (shown.lower, 11, Status.LOWER_BOUND)
    at = point(SHALLOW, x=torch.zeros(1, 1, dtype=torch.float64))
    with torch.no_grad():
        at.model[0].bias.zero_()
    found = asked(Problem(at.model, (at.x, at.y), "mse"), memory=memory)
    assert (found.value, found.lower, found.method) == (0, 0, "best of nothing")


def test_one_short_of_the_ceiling_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Search, "rank", lambda search, x: search.ceiling - 1)
    found = asked(point(SHALLOW, 3))
    assert (found.value, found.upper, found.status) == (10, 11, Status.LOWER_BOUND)


def test_what_fits_on_neither_side_is_not_tried() -> None:
    """2,000 samples of a 5-40-40-1 network: 32 MB for J J', 28 for combinations of rows, 6 for the factors of J."""
    at = point(Shape((5, 40, 40, 1), (nn.ReLU, nn.ReLU)), 3)
    mlp = laid_open(at)[1]
    assert module._Search(Evaluation(at), mlp, 40_000_000, "logits").cost(2000) == math.inf
    assert module._Search(Evaluation(at), mlp, 60_000_000, "logits").cost(2000) < math.inf
    assert module._Search(Evaluation(at), mlp, 5_000_000, "logits").cost(2000) == math.inf
