"""tr H^2 of a piecewise-linear MLP as the exact norms of its blocks by layers, without Hessian products."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scalecurv.mlp.layers import OpenBatch, open_batch, residuals
from scalecurv.mlp.trace import layer_sizes, layer_traces
from scalecurv.problem.problem import Problem
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch

CACHE = 4 << 20  # bytes of a matrix that is read and written several times: larger ones take up to four times as long


def block_norms(problem: Problem, mlp: MLP) -> Tensor:
    """Return |H_kl|_F^2 for each pair of layers (weights and bias together), (L, L); the sum of all is tr H^2."""
    return split_norms(problem, mlp).sum(0)


def split_norms(problem: Problem, mlp: MLP) -> Tensor:
    """Return |G_kl|_F^2, 2 <G_kl, R_kl> and |R_kl|_F^2 for each pair of layers, (3, L, L), where H = G + R.

    With B~ = F'B and K_l the inner products of the layer's inputs (+ 1 for a bias), |G_kl|^2 = <Gram_k, Gram_l>,
    Gram_l = (B~_l B~_l') o K_l over all pairs of samples and outputs. R_kl (l < k) has entries
    sum_i delta_k[s] C_i[t, p] a_l[q], C_i = da_(k-1)/dz_l, and is 0 on the diagonal and against biases of the later
    layer. Time grows with N^2, memory with N: see `block_norms_cost`. Weight decay w, part of G, adds
    2 w tr G_ll + w^2 P_l on the diagonal; <w I, R_ll> = 0.
    """
    everything = _Opened(problem, mlp)
    L = len(mlp.layers)
    norms = torch.zeros(3, L, L, dtype=torch.float64, device=problem.device)
    norms[0] = everything.gauss_newton_norms()
    for low in range(L):
        path = torch.diag_embed(everything.open.slopes[low]) if low + 2 < L else None
        for high in range(low + 1, L):
            if high > low + 1:
                assert path is not None
                path = everything.open.slopes[high - 1][:, :, None] * (everything.open.weights[high - 1] @ path)
            norms[1:, low, high] = norms[1:, high, low] = everything.remainder(
                low, high, path if high > low + 1 else None
            )
    if w := problem.weight_decay:
        norms[0].diagonal().add_(2 * w * layer_traces(problem.undecayed(), mlp))
        norms[0].diagonal().add_(w**2 * layer_sizes(problem, mlp).to(norms.device))
    return norms


def block_norms_cost(problem: Problem, mlp: MLP) -> tuple[float, float]:
    """Return the multiplications and bytes that `block_norms` takes, for a comparison with Hessian products."""
    N, D, n = problem.num_data, problem.num_outputs, mlp.widths
    L = len(mlp.layers)
    flops = float((N * D) ** 2 * (sum(n[1:]) + L * L / 2))
    largest = 0
    for low in range(L):
        for high in range(low + 1, L):
            dense = n[high] * n[low + 1] if high > low + 1 else 0
            flops += N * N * (2 * dense + D * (n[low + 1] + n[high + 1]))
            largest = max(largest, dense)
    return flops, 8.0 * N * (2 * largest + 2 * (D + 1) * sum(n))


@dataclass(frozen=True)
class _Opened:
    """The layers of all samples at once: B~_l (N, D, n_l) and delta_l (N, n_l), c in front of the sum included."""

    problem: Problem
    mlp: MLP

    @cached_property
    def batch(self) -> Batch:
        return self.problem.whole

    @cached_property
    def open(self) -> OpenBatch:
        return open_batch(self.problem, self.mlp, self.batch)

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        assert self.problem.loss.factor is not None
        factor = self.problem.loss.factor(self.open.outputs, self.batch.y)
        return self.open.pulled(self.problem.scale**0.5 * factor.transpose(1, 2))

    @cached_property
    def deltas(self) -> tuple[Tensor, ...]:
        r = residuals(self.problem, self.batch, self.open.outputs)
        return tuple(rows[:, 0] for rows in self.open.pulled(r[:, None, :]))

    @cached_property
    def tile(self) -> int:
        """The number of samples whose pairs with all others stay in the cache, and take 1/4 of the memory at most."""
        N, D, L = self.problem.num_data, self.problem.num_outputs, len(self.mlp.layers)
        per_sample = 8 * N * max(L * D * D, 2 * (max(self.mlp.widths) + 2 * D))
        near = 8 * N * max(D * D, max(self.mlp.widths))  # of one layer
        return max(1, min(N, self.problem.memory // 4 // per_sample, CACHE // near))

    def tiles(self) -> list[slice]:
        return [slice(i, i + self.tile) for i in range(0, self.problem.num_data, self.tile)]

    def gauss_newton_norms(self) -> Tensor:
        """Return <Gram_k, Gram_l> for each pair of layers, (L, L)."""
        L, N, D = len(self.mlp.layers), self.problem.num_data, self.problem.num_outputs
        norms = torch.zeros(L, L, dtype=torch.float64, device=self.problem.device)
        for tile in self.tiles():
            grams = []
            for l, rows in enumerate(self.rows):
                outer = rows[tile].reshape(-1, rows.shape[2]) @ rows.reshape(N * D, -1).T
                inner = self.open.inner_inputs(l, tile, slice(None))
                grams.append((outer.view(-1, D, N, D) * inner[:, None, :, None]).reshape(-1))
            stacked = torch.stack(grams)
            norms += (stacked @ stacked.T).double()
        return norms

    def remainder(self, low: int, high: int, path: Tensor | None) -> Tensor:
        """Return 2 <G, R> and |R|^2 of the block (high, low); `path` is C (N, t, p), None for diag(slopes)."""
        crossed, squared = 0.0, 0.0
        slopes, a = self.open.slopes[low], self.open.inputs[high]
        rows_low, rows_high = self.rows[low], self.rows[high]
        through = (a[:, None, :] * rows_low).reshape(-1, a.shape[1]) if path is None else None
        N, D = self.problem.num_data, self.problem.num_outputs
        for tile in self.tiles():
            inner = self.open.inner_inputs(low, tile, slice(None))
            delta = self.deltas[high]
            bent = (delta[tile] @ rows_high.reshape(N * D, -1).T).view(-1, N, D)
            if path is None:
                assert through is not None
                carried = (slopes[tile] @ through.T).view(-1, N, D)
                paths = slopes[tile] @ slopes.T
            else:
                carried = torch.einsum("nmp,mcp->nmc", a @ path[tile], rows_low)
                paths = path[tile].flatten(1) @ path.flatten(1).T
            crossed += 2 * float(((bent * carried).sum(2) * inner).sum())
            squared += float(((delta[tile] @ delta.T) * paths * inner).sum())
        return torch.tensor([crossed, squared], dtype=torch.float64, device=self.problem.device)
