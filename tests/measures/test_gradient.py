"""Loss, slope and the curvature along it against the dense oracle."""

import pytest

from scalecurv.estimate import Status
from scalecurv.measures import Gradient
from scalecurv.measures.evaluation import Evaluation
from tests.networks import CASES, oracle, problem


@pytest.mark.parametrize(("name", "loss", "reduction"), CASES)
def test_against_the_oracle(name: str, loss: str, reduction: str) -> None:
    truth = oracle(name, loss, reduction)
    g, Hg = truth.gradient, truth.hessian @ truth.gradient
    found = Gradient().ask(Evaluation(problem(name, loss, reduction, batch_size=3))).estimates
    assert {name: e.value for name, e in found.items()} == pytest.approx(
        {
            "loss": truth.loss,
            "grad_norm": float(g.norm()),
            "beta": 1 / (1 + float(g @ g)),
            "ghg": float(g @ Hg),
            "gh2g": float(Hg @ Hg),
        },
        rel=1e-11,
    )
    assert {e.status for e in found.values()} == {Status.EXACT}
