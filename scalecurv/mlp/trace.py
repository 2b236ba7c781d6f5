"""tr H and diag H of a piecewise-linear MLP, exact or sampled over outputs, without Hessian products."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from scalecurv.linalg.probes import probes
from scalecurv.mlp.layers import OpenBatch, open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch

TILE = 1 << 20  # bytes of the rows that are pulled back together: more of them leave the processor's cache
KEPT = 16  # of `memory` that squares may take between two numbers


def layer_traces(problem: Problem, mlp: MLP) -> Tensor:
    """Return tr H_ll for each layer's weights and bias together, shape (L,) in float64, in D backward passes.

    No output of such a network has a second derivative along a single parameter, so that H and the Gauss-Newton
    matrix share their diagonal blocks: tr H_ll = c sum_i |F_i' B_l(x_i)|_F^2 (|a_(l-1)(x_i)|^2 + 1), where
    F_i F_i' = d^2 loss / df^2 and B_l = df/dz_l. Exact for any loss with a known factor, at any theta off the kinks.
    Weight decay w adds w times the number of parameters in the layer.
    """
    total = sum_over_data(problem, lambda batch: _traces_of_batch(problem, mlp, batch)).double()
    return total + problem.weight_decay * layer_sizes(problem, mlp).to(total.device)


def sample_traces(problem: Problem, mlp: MLP) -> Tensor:
    """Return T_i = tr G_i for each sample of this rank, (n,) in float64, weight decay left out, in D backward passes.

    T_i = c sum_l |F_i' B_l(x_i)|_F^2 (|a_(l-1)(x_i)|^2 + 1), for any activation, so that the sum over the samples of
    all ranks is tr G. That is tr H where the activations are piecewise linear: see `layer_traces`.
    """
    found = [
        sum((square.sum(1) * opened.squared_inputs(l).double() for l, square in enumerate(squares)), torch.zeros(()))
        for batch in problem.own_batches()
        for opened, squares in _squares_of_batch(problem, mlp, batch)
    ]
    return torch.cat([t.double().cpu() for t in found])


def layer_sizes(problem: Problem, mlp: MLP) -> Tensor:
    """Return the number of parameters in each layer, weights and bias together, shape (L,) in float64."""
    sizes = [part.stop - part.start for name in mlp.layers for part in [problem.space.layers[name]]]
    return torch.tensor(sizes, dtype=torch.float64)


def _traces_of_batch(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    """Return the share of one batch in tr H_ll for each layer, shape (L,), weight decay left out."""
    total = torch.zeros(len(mlp.layers), dtype=torch.float64, device=problem.device)
    for opened, squares in _squares_of_batch(problem, mlp, batch):
        for l, square in enumerate(squares):
            total[l] += square.sum(1) @ opened.squared_inputs(l).double()
    return total


def _squares_of_batch(problem: Problem, mlp: MLP, batch: Batch) -> Iterator[tuple[OpenBatch, list[Tensor]]]:
    """Yield a batch in pieces that fit into memory: each laid open, and c sum_k (F_i' B_l)_ks^2 by layer.

    Those squares, (B, n_l) in float64, are all that traces and diagonal need of the D backward passes. They are kept
    for the later of the two where those of all data take at most a sixteenth of the memory.
    """
    size = samples_at_once(problem, mlp, problem.num_outputs)
    kept = 8 * problem.num_local * sum(mlp.widths[1:]) <= problem.memory // KEPT
    for piece in batch.pieces(size):
        opened, key = open_batch(problem, mlp, piece), (_squares_of_batch, piece.start, len(piece.x))
        squares = problem.cache[key] if key in problem.cache else _squares(problem, piece, opened)
        if kept:
            problem.cache[key] = squares
        yield opened, squares


def _squares(problem: Problem, batch: Batch, opened: OpenBatch) -> list[Tensor]:
    """Return c sum_k (F_i' B_l)_ks^2 by layer, (B, n_l) in float64, from rows that stay in the processor's cache."""
    assert problem.loss.factor is not None
    seeds = problem.loss.factor(opened.outputs, batch.y).transpose(1, 2)
    squares = [torch.empty_like(z, dtype=torch.float64) for z in opened.pre]
    last, widest = len(squares) - 1, max(z.shape[1] for z in opened.pre)
    step = max(1, TILE // (8 * seeds.shape[1] * widest))
    for start in range(0, len(seeds), step):
        some = slice(start, start + step)
        rows = seeds[some]
        for l in range(last, -1, -1):
            below = (rows.flatten(0, 1) @ opened.weights[l]).view(*rows.shape[:2], -1) if l else rows
            square = rows.double().square() if l == last or rows.dtype != torch.float64 else rows.square_()
            torch.sum(square, 1, out=squares[l][some])
            rows = below.mul_(opened.slopes[l - 1][some, None]) if l else below
    for square in squares:
        square *= problem.scale
    return squares


def samples_at_once(problem: Problem, mlp: MLP, num_rows: int) -> int:
    """Return the number of samples whose open layers and `num_rows` pulled rows of one layer fit into half the memory.

    Open layers are inputs, pre-activations, slopes and squares.
    """
    widest = 2 * num_rows * max(mlp.widths[1:])
    scalars = 4 * sum(mlp.widths) + widest + num_rows * problem.num_outputs
    return max(1, problem.memory // 2 // (scalars * problem.dtype.itemsize))


STREAM = "output probes"


def output_probe_terms(problem: Problem, mlp: MLP, seed: int, index: int) -> np.ndarray:
    """Return each sample's unbiased term of tr H_ll from one pass, shape (N, L) in float64.

    Y_il = c |B_l' F_i s_i|^2 (|a_(l-1)|^2 + 1) with independent signs s_i in {-1, 1}^D for every sample, so that
    E sum_i Y_il = tr H_ll. The passes `index` = 0, 1, ... are independent. Weight decay is spread over the samples.
    """
    signs = probes(problem.num_data * problem.num_outputs, seed, STREAM, [index], dtype=torch.float64)[:, 0]
    signs = signs.view(problem.num_data, problem.num_outputs).to(problem.device, problem.dtype)
    terms = torch.cat([_terms_of_batch(problem, mlp, batch, signs) for batch in problem.batches()]).cpu()
    return (terms + problem.weight_decay * layer_sizes(problem, mlp) / problem.num_data).numpy()


def _terms_of_batch(problem: Problem, mlp: MLP, batch: Batch, signs: Tensor) -> Tensor:
    """Return the terms Y_il of one batch, shape (B, L), weight decay left out."""
    assert problem.loss.factor is not None
    done = []
    for piece in batch.pieces(samples_at_once(problem, mlp, problem.num_outputs)):
        opened = open_batch(problem, mlp, piece)
        s = signs[piece.start : piece.start + len(piece.x)]
        seeds = problem.loss.factor(opened.outputs, piece.y) @ s[:, :, None]
        columns = [
            (rows.double() ** 2).sum((1, 2)) * opened.squared_inputs(l).double()
            for l, rows in enumerate(opened.pulled(seeds.transpose(1, 2)))
        ]
        done.append(problem.scale * torch.stack(columns, dim=1))
    return torch.cat(done)


def exact_diagonal(problem: Problem, mlp: MLP) -> dict[str, Tensor]:
    """Return diag H by parameter name, each of its parameter's shape, in D backward passes, weight decay included.

    d^2 L / dW_l[s, q]^2 = c sum_i |(F_i' B_l)_s|^2 a_(l-1)[q]^2, and the same without a for b_l[s]: no output has a
    second derivative along a single parameter, so that this is the diagonal of the Gauss-Newton matrix, where
    F_i F_i' = d^2 loss / df^2 and B_l = df/dz_l. Exact for any loss with a known factor, at any theta off the kinks.
    """
    diagonal = sum_over_data(problem, lambda batch: _diagonal_of_batch(problem, mlp, batch))
    return problem.space.unflatten(diagonal + problem.weight_decay if problem.weight_decay else diagonal)


def _diagonal_of_batch(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    """Return the share of one batch in diag H, shape (P,), weight decay left out."""
    total = torch.zeros_like(problem.theta)
    parts = problem.space.unflatten(total)  # views: adding to one adds to the whole
    for opened, everywhere in _squares_of_batch(problem, mlp, batch):
        for l, (name, squares) in enumerate(zip(mlp.layers, everywhere, strict=True)):
            squares = squares.to(total.dtype)
            parts[f"{name}.weight"] += squares.T @ opened.inputs[l] ** 2
            if opened.biases[l] is not None:
                parts[f"{name}.bias"] += squares.sum(0)
    return total
