"""Activation patterns against the zeros of the factors and columns of the Jacobian."""

from functools import partial

import torch
from torch import Tensor, nn

from scalecurv.measures.rank.factors import factors_of
from scalecurv.mlp.activation_pattern import ActivationPattern, activation_pattern, num_rescalings, num_touched
from scalecurv.problem.problem import Problem
from tests.loops import each
from tests.measures.rank.test_region import open_all
from tests.mlp.test_rescaling import null_vectors
from tests.piecewise import Shape, laid_open

LEAKY = partial(nn.LeakyReLU, 0.3)


def generic(phi: object = nn.ReLU, biases: tuple[bool, ...] = (True,) * 3, **options: object) -> Problem:
    """3-5-4-2 with Gaussian weights and inputs: nothing is 0 but what a ReLU makes so."""
    rng = torch.Generator().manual_seed(0)
    model = Shape((3, 5, 4, 2), (phi, phi), biases).build().double()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=torch.float64))
    x = torch.randn(8, 3, generator=rng, dtype=torch.float64)
    return Problem(model, (x, x[:, :2]), "mse", **options)


def changed(problem: Problem, **edits: object) -> Problem:
    """Return the problem after the edits `dead`, `cut`, `behind` or `feature`."""
    first, _, second, _, last = problem.model
    x = problem.x.clone()
    with torch.no_grad():
        for name in edits:
            if name == "dead":  # off everywhere
                first.weight[1], first.bias[1] = 0, -1
            elif name == "cut":  # on, and not heard of
                last.weight[:, 2] = 0
            elif name == "behind":  # heard of by a neuron that is off everywhere, or not heard of, alone
                second.weight[0], second.bias[0], second.weight[1:, 3] = -1, -100, 0
            elif name == "feature":
                x[:, 2] = 0
    return Problem(problem.model, (x, problem.y), "mse", batch_size=problem._batch_size)


CASES = {
    "relu": generic(),
    "leaky": generic(LEAKY),
    "linear": generic(nn.Identity),
    "no biases": generic(biases=(False,) * 3),
    "some biases": generic(biases=(False, True, False)),
    "dead": changed(generic(), dead=1),
    "cut off": changed(generic(), cut=1),
    "behind dead ones": changed(generic(), behind=1),
    "zero feature": changed(generic(), feature=1),
    "zero feature, no biases": changed(generic(biases=(False,) * 3), feature=1),
    "everything": changed(generic(), dead=1, cut=1, behind=1, feature=1),
    "cut off leaky": changed(generic(LEAKY), cut=1, feature=1),
}


def found(problem: Problem) -> tuple[ActivationPattern, Tensor]:
    opened = open_all(problem)
    flat = []
    for touched, bias in zip(activation_pattern(opened).touched, opened.biases, strict=True):
        assert bias is not None or not touched[:, -1].any()
        flat += [touched[:, :-1].flatten()] + ([] if bias is None else [touched[:, -1]])
    return activation_pattern(opened), torch.cat(flat)


@each(name=CASES)
def test_against_the_factors_and_the_dense_jacobian(name: str) -> None:
    """Live: some output moves with the neuron. Touched: the column is not 0; P less the zero columns are."""
    problem = CASES[name]
    factors = factors_of(open_all(problem), torch.eye(2, dtype=torch.float64))
    pattern, touched = found(problem)
    assert torch.equal(touched, (factors.dense() != 0).any(0))
    zero_columns = int((factors.dense() == 0).all(0).sum())
    assert pattern.num_touched == num_touched(*laid_open(problem)) == problem.num_params - zero_columns
    for live, rows in zip(pattern.live, factors.rows, strict=True):
        assert torch.equal(live, (rows != 0).any(1))


@each(name=CASES)
def test_rescalings_are_the_rank_of_their_null_vectors(name: str) -> None:
    """Among the parameters that are touched."""
    problem = CASES[name]
    pattern, touched = found(problem)
    rank = int(torch.linalg.matrix_rank(null_vectors(problem) * touched[:, None]))
    assert num_rescalings(pattern, open_all(problem).inputs) == rank


def test_by_hand() -> None:
    """Each edit takes its share from 3-5-4-2 with no neuron off: 20 + 24 + 10 parameters, 9 neurons."""
    everywhere = generic(LEAKY)
    assert found(everywhere)[0].num_touched == 54
    assert num_rescalings(found(everywhere)[0], open_all(everywhere).inputs) == 9
    cut = changed(generic(LEAKY), cut=1)
    pattern, touched = found(cut)
    assert not pattern.live[1][:, 2].any()
    assert touched[20 : 20 + 20].view(4, 5).any(1).tolist() == [True, True, False, True]
    assert pattern.num_touched == 54 - 6  # in: 5 weights and a bias; its weights out meet live outputs still
    assert num_rescalings(pattern, open_all(cut).inputs) == 8
    feature = changed(generic(LEAKY), feature=1)
    assert found(feature)[0].num_touched == 54 - 5
    assert num_rescalings(found(feature)[0], open_all(feature).inputs) == 9
    assert found(generic(LEAKY, (False,) * 3))[0].num_touched == 54 - 11


def test_neurons_of_which_nothing_can_be_rescaled() -> None:
    """Inputs 0 and biases 0: pre-activations are 0, and rescaling changes no parameter that is touched."""
    problem = generic(LEAKY, (False, True, True))
    problem.x.zero_()
    pattern, touched = found(problem)
    assert pattern.live[0].all()
    rescalings = num_rescalings(pattern, open_all(problem).inputs)
    rank = int(torch.linalg.matrix_rank(null_vectors(problem)[problem.space.slices["2.bias"].start :]))
    assert rescalings == 4
    assert rank == 4
    assert touched[20:].any()


@each(name=["relu", "everything", "no biases"], batch_size=[1, 3, 7])
def test_by_mini_batches(name: str, batch_size: int) -> None:
    problem = CASES[name]
    pieces = Problem(problem.model, (problem.x, problem.y), "mse", batch_size=batch_size)
    per_batch = [
        activation_pattern(open_all(Problem(problem.model, (x, x[:, :2]), "mse"))).num_touched
        for x in problem.x[:, None]
    ]
    assert num_touched(*laid_open(pieces)) == activation_pattern(open_all(problem)).num_touched > max(per_batch)


def test_generic_takes_every_weight_for_nonzero() -> None:
    """Off stays off; cut off is only a zero."""
    before, opened = activation_pattern(open_all(generic(LEAKY))), open_all(changed(generic(LEAKY), cut=1))
    for ours, others in zip(activation_pattern(opened, generic=True).live, before.live, strict=True):
        assert torch.equal(ours, others)
    dead = open_all(changed(generic(), dead=1, cut=1))
    for live, slope in zip(activation_pattern(dead, generic=True).live, dead.slopes, strict=False):
        assert torch.equal(live, slope != 0)  # in a generic net of this size every sample has a path


def test_paths_may_cancel() -> None:
    """Reached by two paths that cancel: live by its zeros, though its column of J is 0."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        for p, values in zip(model.parameters(), ([[1]], [0], [[1], [1]], [0, 0], [[1, -1]], [0]), strict=True):
            p.copy_(torch.tensor(values))
    problem = Problem(model, (torch.ones(1, 1), torch.ones(1, 1)), "mse")
    pattern, touched = found(problem)
    assert pattern.live[0].all()
    column = factors_of(open_all(problem), torch.eye(1, dtype=torch.float64)).dense()[:, 0]
    assert not column.any()
    assert bool(touched[0])
