"""The Lanczos run has one owner: whoever asks alike gets the same factorization, inside the memory it may use."""

import torch

from scalecurv.measures import Extremes
from scalecurv.measures.evaluation import Evaluation
from scalecurv.measures.krylov import krylov_run
from tests.networks import oracle, problem

MEMORY = 1 << 30


def test_it_is_the_factorization_behind_the_ends() -> None:
    evaluation = Evaluation(problem("relu"), 3)
    run = krylov_run(evaluation, 0.1, 400, MEMORY)
    taken = evaluation.total_matvecs
    assert taken == run.factorization.num_matvecs
    assert Extremes(0.1, 400, MEMORY).ask(evaluation).estimates["lambda_max"] == run.largest
    assert krylov_run(evaluation, 0.1, 400, MEMORY) is run
    assert evaluation.total_matvecs == taken  # shared, not taken again


def test_its_basis_may_be_reused() -> None:
    basis = krylov_run(Evaluation(problem("relu"), 3), 0.1, 400, MEMORY).factorization.basis
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=basis.dtype), rtol=0, atol=1e-12)
    top = float(torch.linalg.eigvalsh(basis.T @ oracle("relu").hessian @ basis)[-1])
    assert abs(top / float(torch.linalg.eigvalsh(oracle("relu").hessian)[-1]) - 1) < 0.1


def test_other_options_are_another_run_and_memory_bounds_it() -> None:
    point = problem("relu")
    evaluation = Evaluation(point, 3)
    whole = krylov_run(evaluation, 1e-12, 400, MEMORY)
    short = krylov_run(evaluation, 1e-12, 400, 5 * point.num_params * point.dtype.itemsize)
    assert short.factorization.basis.shape == (point.num_params, 5)
    assert whole.factorization.num_matvecs > 5
