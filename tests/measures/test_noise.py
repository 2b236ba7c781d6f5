"""How much of a product is rounding, against both products by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scalecurv.linalg.probes import probes
from scalecurv.measures import Gradient
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.noise import noise_floor
from scalecurv.operators.hessian import HessianOperator
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.loops import each
from tests.networks import CASES, problem
from tests.quadratic import quadratic


@each(("name", "loss", "reduction"), CASES[::2], seed=[3])
def test_it_is_three_products_against_the_dense_hessian(name: str, loss: str, reduction: str, seed: int) -> None:
    point = problem(name, loss, reduction, dtype=torch.float32)
    evaluation = Evaluation(point, seed)
    found = Gradient().compute(evaluation).estimates["noise_floor"]
    v = probes(point.num_params, seed, "spot check", range(3), "gaussian", torch.float32)
    exact = dense_at(point).hessian @ v.double()
    off = HessianOperator(point).matmat(v).double() - exact
    assert found.value == pytest.approx(float(off.norm() / exact.norm()), rel=1e-6)
    assert 1e-8 < found.value < 1e-4
    assert (found.status, found.num_matvecs) == (Status.EXACT, 6)
    assert found.method == "3 products, float32 against float64"
    assert evaluation.total_matvecs == 7  # with that of the gradient
    assert noise_floor(evaluation) == found
    assert evaluation.total_matvecs == 7  # remembered


def test_products_in_double_have_nothing_to_be_held_against() -> None:
    evaluation = Evaluation(problem("relu"))
    found = noise_floor(evaluation)
    assert (found.status, found.method) == (Status.NOT_APPLICABLE, "products are in float64")
    assert evaluation.total_matvecs == 0


def test_a_product_that_is_off_by_a_share_shows_as_that_share(monkeypatch: pytest.MonkeyPatch) -> None:
    product: Callable[[HessianOperator, Tensor], Tensor] = HessianOperator._matmat

    def bent(self: HessianOperator, V: Tensor) -> Tensor:
        return product(self, V) * (1.25 if V.dtype == torch.float32 else 1.0)

    monkeypatch.setattr(HessianOperator, "_matmat", bent)
    assert noise_floor(Evaluation(problem("relu", dtype=torch.float32))).value == pytest.approx(0.25, rel=1e-4)


def test_no_curvature_has_no_noise() -> None:
    flat = quadratic(torch.zeros(5, 5), torch.ones(5))
    assert noise_floor(Evaluation(flat)).value == 0
