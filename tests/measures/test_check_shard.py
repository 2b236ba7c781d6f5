"""What one rank alone sees of a model all ranks refuse, in the same words, and none waits for another."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalecurv.analysis import check_point
from scalecurv.measures.evaluation import Evaluation
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.shard import Shard
from tests.networks import data
from tests.ranks import ask_ranks, same

pytestmark = pytest.mark.xdist_group("ranks")  # one group of processes answers all of them

N = 21  # 10 samples on the first rank, 11 on the second
ODD = 17  # a sample of the second rank


class Odd(nn.Linear):
    """A model that does something else where a sample is marked."""

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(6, 3)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        f = super().forward(x)
        return self.change(f, x) if bool((x[:, 0] > 50).any()) else f


CHANGES: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "draws": (10, lambda f, x: f + 0.01 * torch.randn_like(f)),
    "draws for nothing": (10, lambda f, x: f + 0 * torch.randn_like(f)),
    "company": (20, lambda f, x: f + (f.mean(0) if len(f) > 1 else 0)),
    "overflow": (ODD, lambda f, x: f * torch.where(x[:, :1] > 50, torch.inf, 1.0)),
}


def odd(change: str, shard: Shard | None) -> dict[str, float]:
    """One sample, on the last rank alone, decides for all."""
    (sample, changed), (x, y) = CHANGES[change], data("mse", num_data=N)
    x[sample, 0] = 60.0
    torch.manual_seed(0)
    evaluation = Evaluation(Problem(Odd(changed).double(), (x, y), "mse", batch_size=3, shard=shard))
    check_point(evaluation)
    return {"loss": loss_and_gradient(evaluation.problem)[0]}


QUESTIONS = {change: partial(odd, change) for change in CHANGES}


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    return [found["tests.measures.test_check_shard"] for found in ask_ranks()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("draws", "Misuse: the model's outputs change by .* it draws at random inside"),
        ("company", "Misuse: the outputs of . samples change by .* depends on its place"),
        ("overflow", f"CheckpointError: .* at sample {ODD} .batch 2 of rank 1.; there is no curvature"),
    ],
)
def test_what_one_rank_sees_all_refuse(ranks: list[dict[str, Any]], change: str, words: str) -> None:
    for found in ranks:
        assert re.match(words, found[change])
        assert found[change] == ranks[0][change]


def test_numbers_drawn_for_nothing_on_one_rank_pass(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["draws for nothing"] == pytest.approx(QUESTIONS["draws for nothing"](None), rel=1e-12)
    assert all(same(found["draws for nothing"], ranks[0]["draws for nothing"]) for found in ranks)
