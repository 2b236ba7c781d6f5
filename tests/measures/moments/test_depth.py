"""The depth of the deflated space: pilots tell what is outside, and the run ends where its steps save no probes."""

import numpy as np
import pytest
import torch

from scalecurv.linalg.krylov.lanczos import LanczosProcess
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from scalecurv.measures.moments.deflation import deflation
from scalecurv.measures.moments.depth import Pilots, deflated_depth, predicted
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.noise import spot_products
from scalecurv.measures.route import Strategy
from scalecurv.problem.problem import Problem
from tests.networks import oracle, problem
from tests.quadratic import quadratic

STRATEGY = Strategy(0.01, 1000, 1 << 30, "generic")


def rotated(values: list[float]) -> Problem:
    """Return a quadratic with these eigenvalues in random directions."""
    rng = torch.Generator().manual_seed(3)
    Q, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=rng, dtype=torch.float64))
    A = Q * torch.tensor(values, dtype=torch.float64) @ Q.T
    return quadratic((A + A.T) / 2, torch.zeros(len(values), dtype=torch.float64))


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_pilots_know_what_is_outside_of_every_space(name: str) -> None:
    H, evaluation = oracle(name).hessian, Evaluation(problem(name), 1)
    V, HV = spot_products(evaluation)
    torch.testing.assert_close(HV, H @ V)
    pilots, process = Pilots(V, HV), LanczosProcess(evaluation.hessian, torch.ones(len(H), dtype=H.dtype), 40)
    for k in (1, 5, 12, 40):
        process.advance(k)
        run = process.first(min(k, process.steps))
        R = torch.eye(len(H), dtype=H.dtype) - run.basis @ run.basis.T
        truth = ((R @ H @ R @ V) ** 2).sum(0).numpy()
        np.testing.assert_allclose(pilots.outside(run), truth, rtol=1e-8, atol=1e-12 * float((H @ H).trace()))


def test_an_eigenvalue_that_the_run_has_not_seen_makes_it_go_on() -> None:
    """Ritz values show nothing of what the start vector lacks; the spread of the pilots does."""
    values = [30.0, *np.linspace(1.0, 20.0, 60)]
    H = torch.diag(torch.tensor(values, dtype=torch.float64))
    start = torch.ones(len(values), dtype=torch.float64)
    start[0] = 0  # without a component along the first
    V = torch.randn(len(values), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    process = LanczosProcess(Evaluation(quadratic(H, 0 * start)).hessian, start, 50)
    process.advance(50)
    run, pilots = process.first(50), Pilots(V, H @ V)
    unseen = predicted(run, pilots.outside(run), 0.01, True)
    without = V.clone()
    without[0] = 0
    seen = predicted(run, Pilots(without, H @ without).outside(run), 0.01, True)
    assert unseen.products > 10 * seen.products
    assert unseen.outside > 2 * seen.outside


def test_a_flat_bulk_is_sampled_and_outliers_are_deflated() -> None:
    flat = deflation(Evaluation(rotated([1.0, *np.linspace(0.9, 1.1, 999)])), STRATEGY)
    spread = deflation(Evaluation(rotated([*np.linspace(10, 40, 30), *np.linspace(0, 0.01, 970)])), STRATEGY)
    assert len(flat.krylov.run.alphas) <= 15  # 32 probes do, whatever the depth
    assert len(spread.krylov.run.alphas) >= 30
    assert spread.depth.outside < 0.1


def test_products_of_a_sharp_square_fall_to_less_than_half() -> None:
    """Thirty outliers over a bulk: at the depth that certifies the largest, hundreds of probes were needed."""
    point = rotated([*np.linspace(10, 40, 30), *np.linspace(0, 0.1, 970)])
    evaluation = Evaluation(point)
    found = Moments(0.01, 2000, route="generic").compute(evaluation).estimates["trace_h2"]
    assert found.halfwidth <= 0.01 * found.value
    assert evaluation.total_matvecs < 100


def test_the_depth_depends_on_nothing_else_that_was_computed() -> None:
    alone = deflated_depth(Evaluation(problem("tanh"), 2), STRATEGY)
    evaluation = Evaluation(problem("tanh"), 2)
    krylov_run(evaluation, Strategy(1e-9, 200, 1 << 30, "generic"))
    Moments(0.3, 300, route="generic").compute(evaluation)
    after = deflated_depth(evaluation, STRATEGY)
    assert after.outside == alone.outside
    assert np.array_equal(after.krylov.run.alphas, alone.krylov.run.alphas)


def test_pilots_are_paid_for_once_and_not_in_single_precision() -> None:
    double, single = (
        deflated_depth(Evaluation(problem("relu", dtype=d)), STRATEGY) for d in (torch.float64, torch.float32)
    )
    assert (double.pilots, single.pilots) == (3, 0)  # the spot check of float32 takes them


def test_where_memory_holds_no_pilots_there_are_none() -> None:
    point = problem("tanh")
    size = 8 * 6 * 8 * point.num_params  # of which pilots take an eighth
    assert deflated_depth(Evaluation(point), Strategy(0.1, 150, size, "generic")).pilots == 3
    found = deflated_depth(Evaluation(point), Strategy(0.1, 150, size - 1, "generic"))
    assert (found.pilots, found.outside) == (0, None)
