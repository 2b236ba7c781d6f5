"""The trace of models that are no MLP of known structure: exact where it can be, by fresh probes where it cannot."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.moments import passes
from scalecurv.measures.moments.alone import trace_alone
from scalecurv.measures.moments.deflation import trace_of
from scalecurv.measures.moments.exact import KnownTrace
from scalecurv.measures.moments.fresh import TRIAL, FreshTerms
from scalecurv.measures.moments.known import exact_trace, known_trace
from scalecurv.measures.moments.moments import Moments
from scalecurv.measures.route import Budget, Strategy
from scalecurv.problem.problem import Problem
from scalecurv.statistics.estimate import Status
from tests.dense import dense_at
from tests.measures.moments.by_blocks import fast, matrices, point
from tests.networks import data, network, problem

SAMPLED = Strategy(0.05, 1000, 1 << 30, "sampled")


def known(at: Problem, strategy: Strategy = SAMPLED, seed: int = 0) -> KnownTrace:
    found = known_trace(Evaluation(at, seed), strategy)
    assert found is not None
    return found


class TestExact:
    """Models whose outputs are affine in every tensor."""

    def test_a_convolutional_network_is_exact(self) -> None:
        """The whole, each layer and each tensor, without a product with H, in float64 whatever the dtype."""
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)).double()
        x, y = torch.randn(9, 1, 5, 5, dtype=torch.float64), torch.arange(9) % 3
        for dtype in (torch.float64, torch.float32):
            at = Problem(model, (x, y), dtype=dtype, weight_decay=0.1)
            truth, evaluation = dense_at(at), Evaluation(at)
            found = Moments(route="sampled").compute(evaluation)
            whole = found.estimates["trace"]
            assert (whole.status, whole.method) == (Status.EXACT, "sum over tensors, 3 backward passes")
            rtol = 1e-10 if dtype == torch.float64 else 1e-5
            assert whole.value == pytest.approx(truth.trace() + 0.1 * at.num_params, rel=rtol)
            parts = {name: e for (quantity, name), e in found.parts.items() if quantity == "trace"}
            assert parts.keys() == {"0", "3", "0.weight", "0.bias", "3.weight", "3.bias"}
            for name, part in (at.space.layers | at.space.slices).items():
                size = part.stop - part.start
                assert parts[name].value == pytest.approx(truth.trace(part) + 0.1 * size, rel=rtol)
                assert (parts[name].status, parts[name].num_matvecs) == (Status.EXACT, 0)
            assert trace_alone(beside := Evaluation(at), Strategy(0.01, 1000, 1 << 30)).value == whole.value
            assert beside.total_matvecs == 0

    def test_exact_is_asked_for_without_sampling(self) -> None:
        at = problem("tanh")
        assert exact_trace(evaluation := Evaluation(at), SAMPLED) is None
        assert evaluation.total_matvecs == 0


class TestSampled:
    """Models with tensors in which the outputs are not affine."""

    def test_the_parts_add_up(self) -> None:
        """Layers sum to the whole; weight decay is exact; a tensor in which the outputs are affine is exact."""
        for loss in ("mse", "cross_entropy"):
            at = Problem(network("tanh"), data(loss, num_data=40), loss, weight_decay=0.2)
            truth, found = dense_at(at), known(at)
            assert found.whole.status is Status.CONVERGED
            assert sum(e.value for e in found.layers.values()) == pytest.approx(found.whole.value, rel=1e-12)
            wanted = truth.trace() + 0.2 * at.num_params
            assert abs(found.whole.value - wanted) < 4 * found.whole.stderr
            last = found.layers["4"]
            for name, part in at.space.layers.items():
                wanted, layer = truth.trace(part) + 0.2 * (part.stop - part.start), found.layers[name]
                assert layer is last or abs(layer.value - wanted) <= 4.5 * layer.stderr, name
            assert (last.status, last.value) == (Status.EXACT, pytest.approx(wanted, rel=1e-10))
            assert found.tensors.keys() == {"4.weight", "4.bias"}
            assert sum(e.value for e in found.tensors.values()) == pytest.approx(last.value, rel=1e-12)
            assert not found.exact

    def test_it_is_the_same_in_single_precision(self) -> None:
        """Products are in float64 whatever the dtype: rounding needs no check of its own."""
        single = Problem(network("tanh"), data("mse", num_data=40), "mse", dtype=torch.float32)
        evaluation = Evaluation(single)
        found = known_trace(evaluation, SAMPLED)
        assert repr(found) == repr(known(single.astype(torch.float64)))
        assert evaluation.total_matvecs == found.whole.num_matvecs

    def test_the_road_is_that_of_the_smaller_spread(self) -> None:
        """Most seeds see that H - G varies less; the probes that tell are not those of the estimate."""
        fitted = point("tanh", "mse", 150)
        rest = SAMPLED.fresh_tensors(fitted)
        spreads = [
            sum(2 * float((A**2).sum() - (A.diagonal() ** 2).sum()) for A in matrices(fitted, residual))
            for residual in (False, True)
        ]
        assert spreads[1] < spreads[0] / 4
        chosen = [passes._chosen(Evaluation(fitted, seed, fast), rest) for seed in range(10)]
        assert [(residual, len(terms)) for residual, terms in chosen] == [(True, passes.TRIALS[1])] * 10
        terms = FreshTerms(rest, True)
        trial = replace(terms, stream=TRIAL)
        assert (terms._probes(fitted, 0, 0, range(4)) != trial._probes(fitted, 0, 0, range(4))).any()
        assert known(fitted).whole.method.startswith("tr G exact, fresh probes of H - G, ")

    def test_the_budget_holds_and_grows_by_looks(self) -> None:
        """Trials and passes together take at most half of the budget's probes, and F has the others."""
        at = problem("tanh", "cross_entropy")
        for limit in (24, 48, 100, 333):
            evaluation = Evaluation(at)
            strategy = replace(SAMPLED, rtol=0.0, max_matvecs=limit)
            found, probes = known_trace(evaluation, strategy, deflating=False), Budget(limit).probes
            assert evaluation.total_matvecs == found.whole.num_matvecs == probes // 2
            assert strategy.square_products(at) == probes - probes // 2
            assert found.whole.status is Status.BUDGET

    def test_deflation_takes_over_where_it_alone_promises_an_end(self) -> None:
        at, strategy = problem("tanh"), replace(SAMPLED, rtol=0.1, max_matvecs=200)
        evaluation = Evaluation(at)
        assert known_trace(evaluation, strategy) is None
        assert known_trace(Evaluation(at), replace(strategy, rtol=0.5)) is not None
        found = trace_of(evaluation, strategy)
        assert (found.status, found.method) == (Status.CONVERGED, "deflated hutchinson")
        assert abs(found.value - float(dense_at(at).hessian.trace())) < 4 * found.stderr

    def test_without_patience_it_ends_where_no_end_is_promised(self) -> None:
        evaluation = Evaluation(problem("tanh"))
        found = known_trace(evaluation, replace(SAMPLED, rtol=1e-6), patient=False)
        assert found.whole.status is Status.BUDGET
        assert evaluation.total_matvecs <= 8 + 16

    def test_a_loss_of_one_s_own_leaves_room_for_rounding(self) -> None:
        """Its second derivative is known by autograd alone: what is summed is certified and not exact."""

        def huber(f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return ((1 + (f - y) ** 2).sqrt() - 1).sum(1)

        at = Problem(network("tanh"), data("mse", num_data=30), huber, reduction="sum")
        assert at.loss.factor is None
        found = known(at)
        assert abs(found.whole.value - float(dense_hessian_of(at))) < 4 * found.whole.stderr
        assert found.layers["4"].status is Status.CERTIFIED
        relu = Problem(network("conv"), data("mse", num_data=30), huber, reduction="sum")
        exact = known(relu).whole
        assert exact.status is Status.CERTIFIED
        assert exact.lower < float(dense_hessian_of(relu)) < exact.upper
        assert exact.halfwidth < 1e-9 * exact.value

    def test_many_outputs_are_probed_beside(self) -> None:
        """With more outputs than half of the products tr G is sampled too, in the same passes."""
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 20)).double()
        x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        at = Problem(model, (x, torch.arange(40) % 20))
        found, truth = known(at, replace(SAMPLED, rtol=0.2, max_matvecs=38)), dense_at(at)
        assert found.whole.method.startswith("output probes, fresh probes over 2 of 4 tensors, ")
        assert abs(found.whole.value - truth.trace()) < 4 * found.whole.stderr
        part = at.space.layers["2"]
        assert 0 < abs(found.layers["2"].value - truth.trace(part)) < 4 * found.layers["2"].stderr
        assert found.tensors == {}


def dense_hessian_of(at: Problem) -> torch.Tensor:
    """Return tr H from one product with each unit vector of the flat parameters, by torch alone."""

    def loss(theta: torch.Tensor) -> torch.Tensor:
        return at.scale * at.loss.total(at.outputs(theta, at.x), at.y)

    return torch.func.hessian(loss)(at.theta).trace()


def test_terms_that_never_differ_prove_a_number_after_sixteen_passes() -> None:
    """A form that is not constant differs from a given number with chance 1/4: (3/4)^15 < .05."""
    equal = np.tile(np.arange(5.0), (16, 1))
    parts = passes._Parts(np.zeros(1), (), False, (), None, {})
    proven, early = passes._estimate(parts, equal, "m"), passes._estimate(parts, equal[:15], "m")
    assert (proven.value, proven.lower, proven.upper, proven.stderr) == (10.0, 10.0, 10.0, 0.0)
    assert early.upper == math.inf
    equal[3, 2] += 1e-9
    assert passes._estimate(parts, equal, "m").stderr > 0


@pytest.mark.parametrize(("name", "loss", "steps"), [("tanh", "mse", 150), ("tanh", "cross_entropy", 150)])
def test_intervals_hold_through_the_stopping_rule(name: str, loss: str, steps: int) -> None:
    """Over 100 seeds: P(more than 13 of 100 miss at 95 %) = 4e-4; the mean of the estimates is unbiased."""
    at = point(name, loss, steps)
    truth, shared = dense_at(at).trace(), {}
    missed, off = 0, []
    for seed in range(100):
        evaluation = Evaluation(at, seed, fast)
        evaluation.cache |= shared
        found = known_trace(evaluation, replace(SAMPLED, rtol=0.2)).whole
        shared = {key: value for key, value in evaluation.cache.items() if "tensor_sums" in str(key)}
        missed += not found.lower <= truth <= found.upper
        off.append((found.value - truth) / found.stderr)
        assert found.status is Status.CONVERGED
    assert missed <= 13
    assert missed >= 1  # an interval that never misses is too wide to be one of 95 %
    assert abs(np.mean(off)) < 0.45
