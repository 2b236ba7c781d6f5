"""tr G by parameter tensor and by sample, G the Gauss-Newton matrix, for any module: exact, or by output probes."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from scalecurv.affine.capture import capture
from scalecurv.affine.columns import Columns, loss_columns, probed_columns
from scalecurv.affine.formulas import by_formula, plan_of
from scalecurv.affine.single_samples import gradient_squares
from scalecurv.linalg.probes import probes
from scalecurv.problem.problem import Problem
from scalecurv.problem.remembered import remembered
from scalecurv.problem.risk import sum_over_data
from scalecurv.samples.batch import Batch

STREAM = "output probes"
Turn = Callable[[Batch, Tensor], Columns]  # samples and their outputs f -> columns


def tensor_traces(problem: Problem, names: Sequence[str]) -> Tensor:
    """Return tr G_WW for each named tensor W, shape (len(names),) in float64, in D backward passes.

    tr G_WW = sum_i sum_k e_ik |J_iW' u_ik|^2, where c d^2 loss / df^2 = sum_k e_ik u_ik u_ik' at sample i, e = 1 or -1:
    exact for any loss, for any theta off the kinks. Weight decay w adds w times the number of entries of W. The sums
    are remembered, and `sample_traces` shares them.
    """
    found: dict[str, Tensor] = {}
    for group in _groups(problem, names):
        found |= zip(group, _sums(problem, group)[0], strict=True)
    sizes = torch.tensor([problem.space.shapes[name].numel() for name in names], dtype=torch.float64)
    traces = torch.stack([found[name] for name in names]) if len(names) else sizes
    return traces.cpu() + problem.weight_decay * sizes


def sample_traces(problem: Problem) -> Tensor:
    """Return T_i = tr G_i for each sample of this rank, (n,) in float64, weight decay left out.

    G_i = J_i' (c d^2 loss / df^2) J_i over all free parameters, so that sum_i T_i = tr G. Costs nothing where
    `tensor_traces` has run over all of them.
    """
    first, *others = (_sums(problem, group)[1] for group in _groups(problem, list(problem.space.shapes)))
    return sum(others, first).cpu()


def output_probe_terms(problem: Problem, names: Sequence[str], seed: int, index: int) -> np.ndarray:
    """Return each sample's unbiased term of tr G_WW from one pass, shape (N, len(names)) in float64.

    Y_iW = |J_iW' sum_k s_ik u_ik|^2 with independent signs s_i in {-1, 1}^D for every sample, and the columns u of the
    loss: see `tensor_traces`. Columns with e = -1 have a sum of their own, whose square is subtracted. The passes
    `index` = 0, 1, ... are independent. Weight decay is spread over the samples. Raises Misuse for samples on ranks.
    """
    D = problem.num_outputs
    signs = probes(problem.num_data * D, seed, STREAM, [index], dtype=torch.float64)[:, 0].view(-1, D)

    def turn(piece: Batch, f: Tensor) -> Columns:
        some = signs[piece.start : piece.start + len(f)].to(problem.device, f.dtype)
        return probed_columns(problem, piece, f, some)

    width = 2 if problem.loss.mixed is not None else D
    rows = [_squares(problem, batch, tuple(names), turn, width) for batch in problem.batches()]
    sizes = np.array([problem.space.shapes[name].numel() for name in names])
    return torch.cat(rows).cpu().numpy() + problem.weight_decay * sizes / problem.num_data


def _groups(problem: Problem, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the parameters that are summed together: all that have a formula, as one more costs little; the others."""
    formulas = tuple(plan_of(problem).layouts)
    others = tuple(name for name in names if name not in formulas)
    return [group for group in (formulas if set(names) & set(formulas) else (), others) if group]


@remembered
def _sums(problem: Problem, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Return sums over the samples of all ranks by tensor, (len(names),), and over tensors by sample of this rank."""
    by_sample: list[Tensor] = []

    def contribution(batch: Batch) -> Tensor:
        rows = _squares(problem, batch, names, lambda piece, f: loss_columns(problem, piece, f), problem.num_outputs)
        by_sample.append(rows.sum(1))
        return rows.sum(0)

    total = sum_over_data(problem, contribution)
    return total, torch.cat(by_sample)


def _squares(problem: Problem, batch: Batch, names: tuple[str, ...], turn: Turn, width: int) -> Tensor:
    """Return sum_k e_ik |J_iW' u_ik|^2 of each sample and named tensor, (B, len(names)), in pieces that fit."""
    return torch.cat([_of_piece(problem, piece, names, turn) for piece in batch.pieces(_size(problem, width))])


def _size(problem: Problem, width: int) -> int:
    """Return the number of samples of which graph, recorded uses and D x `width` columns take half of the memory."""
    D, plan = problem.num_outputs, plan_of(problem)
    scalars = 4 * problem.footprint.activations + plan.scalars + 4 * D * width
    return max(1, problem.memory // 2 // (problem.dtype.itemsize * scalars))


def _of_piece(problem: Problem, piece: Batch, names: tuple[str, ...], turn: Turn) -> Tensor:
    layouts = {name: layout for name, layout in plan_of(problem).layouts.items() if name in names}
    captured = capture(problem.forward, problem.space.unflatten(problem.theta), frozenset(layouts), piece.x)
    columns = turn(piece, captured.f.detach().to(problem.dtype))
    found = by_formula(captured, layouts, len(piece.x), columns)
    del captured
    others = tuple(name for name in names if name not in found)
    if others:
        found |= zip(others, gradient_squares(problem, piece.x, others, columns).T, strict=True)
    return torch.stack([found[name] for name in names], 1)
