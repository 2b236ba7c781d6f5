"""One number at a time: the same as the measures give, remembered as long as the problem lives."""

import gc
import re
import weakref
from functools import partial

import numpy as np
import pytest
import torch

import scalecurv as sc
from scalecurv.errors import CheckpointError
from scalecurv.measures import Curvature, Extremes, Moments, Principal, Rank
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.principal.planes import ricci_curvature_at, sectional_curvature_at
from scalecurv.measures.route import Strategy
from scalecurv.operators.hessian import HessianOperator
from tests.dense import dense_at
from tests.networks import data, network, oracle, problem


@pytest.mark.parametrize(
    ("ask", "measure", "quantity"),
    [
        (sc.scalar_curvature, Curvature(0.2, 300), "scalar_curvature"),
        (sc.lambda_max, Extremes(0.2, 300), "lambda_max"),
        (sc.lambda_min, Extremes(0.2, 300), "lambda_min"),
    ],
)
def test_the_answer_is_the_measures(ask, measure, quantity: str) -> None:
    for name in ("relu", "tanh"):
        point = sc.Problem(network(name), data("cross_entropy"))
        answer = ask(point, rtol=0.2, max_matvecs=300, seed=2)
        assert repr(answer) == repr(measure.compute(Evaluation(point, 2)).estimates[quantity])


def test_each_trace_alone_is_that_of_moments_where_it_is_exact() -> None:
    for name in ("relu", "tanh"):
        point = problem(name)
        wanted = Moments().compute(Evaluation(point)).estimates
        assert repr(sc.trace(point)) == repr(wanted["trace"])
        assert repr(sc.trace_h2(point)) == repr(wanted["trace_h2"])


def test_the_outermost_principal_curvatures_are_the_measures() -> None:
    for name, max_matvecs in (("relu", 1000), ("tanh", 60)):  # H written out, and not
        point = problem(name)
        wanted = Principal(0.2, max_matvecs).compute(Evaluation(point, 1)).estimates
        found = sc.principal_curvatures(point, rtol=0.2, max_matvecs=max_matvecs, seed=1)
        assert {key: repr(e) for key, e in found.items()} == {key: repr(wanted[key]) for key in found}
        assert list(found) == ["principal_max", "principal_max_2", "principal_min_2", "principal_min"]
        found.clear()  # what is remembered stays
        assert len(sc.principal_curvatures(point, rtol=0.2, max_matvecs=max_matvecs, seed=1)) == 4


def test_one_parameter_has_no_principal_curvatures() -> None:
    assert {e.status for e in sc.principal_curvatures(sc.Problem.quadratic(2.0)).values()} == {sc.Status.NOT_APPLICABLE}


def test_the_spectrum_is_that_of_the_dense_oracle() -> None:
    values = np.linalg.eigvalsh(oracle("tanh").hessian.numpy())
    rule = sc.spectrum(problem("tanh"))
    np.testing.assert_allclose(np.sort(rule.nodes), values, atol=1e-12)
    sampled = sc.spectrum(problem("tanh"), num_starts=2, max_matvecs=60)
    assert (sampled.num_starts, sampled.exact) == (2, False)
    curve = sc.density(problem("tanh"), width=0.1, points=50)
    wanted = np.exp(-(((curve.grid[:, None] - values) / 0.1) ** 2) / 2).mean(1) / (0.1 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(curve.values, wanted, rtol=1e-10)
    np.testing.assert_array_equal(sc.density(rule, width=0.1, points=50).values, curve.values)


def test_the_rank_report_has_the_numbers_of_the_measure() -> None:
    point = problem("relu")
    report = sc.rank_report(point)
    wanted = Rank(functional_dimension=True).compute(Evaluation(point)).estimates
    assert {name: repr(e) for name, e in report.estimates.items()} == {name: repr(e) for name, e in wanted.items()}
    assert report.shape == (21, 74)
    assert sum(entry.value for entry in report.account.values()) == 74
    assert re.search(r"^Where the parameters go +74$", str(report), re.MULTILINE)
    assert "functional_dimension_lower" not in sc.rank_report(point, functional_dimension=False).estimates
    assert "functional_dimension_lower" not in sc.rank_report(point.restricted("^0")).estimates


def test_rank() -> None:
    point = problem("relu")
    assert sc.functional_rank(point) == Rank().compute(Evaluation(point)).estimates["rank"]
    assert sc.functional_rank(point, memory=1000).lower == 3  # one sample of three outputs
    assert sc.functional_rank(problem("tanh"), memory=1000).lower == 1  # one vector


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_directions(name: str) -> None:
    """As the measures' functions give it, with the options of tr H; of so few products that H is not written out."""
    point, strategy = sc.Problem(network(name), data("cross_entropy")), Strategy(0.2, 60, 2 << 30)
    u, v = torch.randn(2, point.num_params, generator=torch.Generator().manual_seed(0))
    fresh = Evaluation(point, 2)
    assert repr(sc.sectional_curvature(point, u, v)) == repr(sectional_curvature_at(fresh, u, v))
    answer = sc.ricci_curvature(point, u, rtol=0.2, max_matvecs=60, seed=2)
    assert repr(answer) == repr(ricci_curvature_at(fresh, u, strategy))
    assert (repr(sc.ricci_curvature(point, u, rtol=0.2, max_matvecs=60, seed=3)) == repr(answer)) == (name == "relu")


def test_the_hessian_is_an_operator() -> None:
    H = sc.hessian(problem("tied"))
    truth = oracle("tied").hessian.numpy()
    np.testing.assert_allclose(H @ np.eye(69), truth, atol=1e-12)
    torch.testing.assert_close(H @ torch.ones(69), torch.from_numpy(truth.sum(1)), rtol=1e-10, atol=1e-12)


def test_every_operator_is_that_of_the_dense_oracle() -> None:
    for name in ("relu", "tied"):
        truth, point = oracle(name), problem(name)
        eye = np.eye(point.num_params)
        for operator, wanted in (
            (sc.hessian(point), truth.hessian),
            (sc.gauss_newton(point), truth.gauss_newton),
            (sc.jacobian(point), truth.jacobian),
        ):
            np.testing.assert_allclose(operator @ eye, wanted.numpy(), atol=1e-12)
        torch.testing.assert_close(sc.gradient(point), truth.gradient, rtol=1e-10, atol=1e-12)
    sc.gradient(point).zero_()  # a copy
    assert sc.gradient(point).norm() > 0


def test_asking_again_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    point = problem("tanh")

    def answers() -> list[sc.Estimate]:
        few = {"max_matvecs": 70}  # so that H is not written out
        sampled = [sc.trace(point, **few), sc.trace(point, seed=1, **few), sc.trace(point, rtol=0.5, **few)]
        more = [sc.trace_h2(point, **few), *sc.principal_curvatures(point, **few).values()]
        return [*sampled, sc.scalar_curvature(point, **few), sc.trace(point), *more]

    first = answers()

    def bug(self: HessianOperator, V: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a product was taken")

    monkeypatch.setattr(HessianOperator, "_matmat", bug)
    assert first == answers()
    assert len({e.value for e in first}) == 9  # two of them are from the ten passes that so small a budget has


def test_a_problem_in_another_precision_has_its_own_answers() -> None:
    point = problem("relu")
    double = sc.trace(point)
    single = sc.trace(point.astype(torch.float32))
    assert single.value != double.value
    assert single.value == pytest.approx(double.value, rel=1e-5)


@pytest.mark.parametrize("ask", [sc.trace, sc.scalar_curvature, sc.lambda_max, sc.functional_rank])
def test_a_loss_that_overflows_is_located(ask) -> None:
    """Outputs of 1e30 are numbers in float32, their squares are not."""
    model = network("relu").float()
    with torch.no_grad():
        model[4].weight *= 1e30
    point = sc.Problem(model, data("mse"), "mse")
    assert point.outputs(point.theta, point.x).abs().max() < torch.inf
    seen = "the loss is inf at these weights, first seen in the loss at sample 0 (batch 0)"
    for point_at in (partial(sc.sectional_curvature, v=torch.arange(74)), sc.ricci_curvature):
        with pytest.raises(CheckpointError, match=f"^{re.escape(seen)}"):
            point_at(point, u=torch.ones(74))
    for _ in range(2):  # asked again, it is no better
        with pytest.raises(CheckpointError, match=f"^{re.escape(seen)}; there is no curvature to speak of$"):
            ask(point)
    double = point.astype(torch.float64)
    assert sc.trace(double).value == pytest.approx(dense_at(double).trace(), rel=1e-10)  # there it has one


def test_what_was_remembered_dies_with_the_problem() -> None:
    point = problem("relu")
    sc.trace(point, rtol=0.5)
    gone = weakref.ref(point)
    del point
    gc.collect()
    assert gone() is None


ASKED = (
    "analyze density eigenpairs functional_rank gauss_newton gradient hessian jacobian lambda_max lambda_min "
    "principal_curvatures rank_report scalar_curvature spectrum trace trace_h2"
)


@pytest.mark.parametrize("name", ASKED.split())
def test_a_model_in_place_of_a_problem_is_misuse(name: str) -> None:
    message = "problem is of type Sequential; give scalecurv.Problem(model, (x, y), loss=...)"
    with pytest.raises(sc.Misuse, match=f"^{re.escape(message)}$"):
        getattr(sc, name)(network("relu"))
    with pytest.raises(sc.Misuse, match=f"^{re.escape(message)}$"):
        sc.analyze(network("relu"), (torch.zeros(2, 3), torch.zeros(2)))  # data in the place of measures


def test_options_of_another_type_are_misuse() -> None:
    point = sc.Problem.quadratic(1.0, 3.0)
    for options, line in (
        ({"rtol": "1%"}, "rtol is '1%', of type str; give a number"),
        ({"memory": "2GB"}, "memory is '2GB', of type str; give a number of bytes, such as 2_000_000_000"),
        ({"max_matvecs": "9"}, "max_matvecs is '9', of type str; give a number"),
        ({"seed": None}, "seed is None; give a whole number from 0 to 2^63 - 1"),
        ({"seed": -1}, "seed is -1; give a whole number from 0 to 2^63 - 1"),
    ):
        for ask in (sc.trace, sc.scalar_curvature, partial(sc.eigenpairs, k=1)):
            with pytest.raises(sc.Misuse, match=f"^{re.escape(line)}$"):
                ask(point, **options)  # type: ignore[arg-type]


def test_vectors_of_scipy_have_names_too() -> None:
    point = sc.Problem.quadratic(1.0, 3.0)
    assert point.unflatten(np.array([0.0, 1.0]))["weight"].tolist() == [[0.0, 1.0]]
