"""Relative flatness of the layers of a piecewise-linear MLP, exact, without Hessian products."""

import torch
from torch import Tensor

from scalecurv.mlp.layers import open_batch
from scalecurv.mlp.trace import TILE, exact_diagonal, samples_at_once
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch


def relative_flatness(problem: Problem, mlp: MLP) -> Tensor:
    """Return the relative flatness of each layer, by layer and by neuron, (2, L) in float64, in D backward passes.

    kappa_l  = c sum_i |a_(l-1)|^2 |F_i' df/da_(l-1)|_F^2 = sum_(s, t) <w_s, w_t> tr H_(s, t),
    kappa'_l = c sum_i sum_q a_q^2 |F_i' df/da_q|^2,

    where F_i F_i' = d^2 loss / df^2, w_s is row s of W_l, H_(s, t) the block of H of the rows s and t, and q runs over
    the inputs a_(l-1) of the layer. kappa_l is unchanged where a layer's neurons are all rescaled by one factor,
    kappa'_l by any rescaling of neurons. Weight decay is left out. (Petzka, Kamp, Adilova, Sminchisescu and Boley 2021,
    arXiv 2001.00939)
    """
    return sum_over_data(problem, lambda batch: _of_batch(problem, mlp, batch)).double()


def adaptive_traces(problem: Problem, mlp: MLP) -> Tensor:
    """Return sum_k theta_k^2 H_kk over the weights and biases of each layer, shape (L,) in float64.

    Each term is unchanged by any rescaling of neurons: an entry into a neuron grows by alpha, one out of it by
    1 / alpha, and H_kk by the inverse square. Weight decay enters as a part of H.
    """
    diagonal, theta = exact_diagonal(problem, mlp), problem.space.unflatten(problem.theta)
    terms = {name: (theta[name].double().square() * entries.double()).sum() for name, entries in diagonal.items()}
    zero = torch.zeros((), dtype=torch.float64, device=problem.device)
    return torch.stack([terms[f"{name}.weight"] + terms.get(f"{name}.bias", zero) for name in mlp.layers])


def _of_batch(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    """Return the share of one batch in kappa and kappa', shape (2, L)."""
    assert problem.loss.factor is not None
    total = torch.zeros(2, len(mlp.layers), dtype=torch.float64, device=problem.device)
    for piece in batch.pieces(samples_at_once(problem, mlp, problem.num_outputs)):
        opened = open_batch(problem, mlp, piece)
        seeds = problem.loss.factor(opened.outputs, piece.y).transpose(1, 2)
        step = max(1, TILE // (8 * seeds.shape[1] * max(mlp.widths)))
        for start in range(0, len(seeds), step):
            some = slice(start, start + step)
            rows = seeds[some]
            for l in range(len(mlp.layers) - 1, -1, -1):
                below = rows @ opened.weights[l]  # F_i' df/da_(l-1), (b, D, n_(l-1))
                squares, inputs = below.double().square().sum(1), opened.inputs[l][some].double().square()
                total[0, l] += inputs.sum(1) @ squares.sum(1)
                total[1, l] += (inputs * squares).sum()
                rows = below * opened.slopes[l - 1][some, None] if l else below
    return problem.scale * total
