"""H = G + R layer by layer: every block of both from one forward and one backward pass, against the products."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.func import hessian

from scalecurv.mlp.block_norms import block_norms
from scalecurv.mlp.layers import OpenBatch, open_batch, residuals
from scalecurv.mlp.trace import layer_traces
from scalecurv.operators.gauss_newton import GaussNewtonOperator
from scalecurv.operators.hessian import HessianOperator
from scalecurv.operators.jacobian import JacobianOperator
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import loss_and_gradient
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch
from tests.loops import each
from tests.piecewise import MEANS, Case, close, layer_slices, opened

by_case = each(case=MEANS)


@dataclass(frozen=True)
class Point:
    """A problem by its products, dense, and by its layers: rows s' B_l, deltas, inputs with a 1 for a bias."""

    problem: Problem
    mlp: MLP
    H: Tensor
    G: Tensor
    J: Tensor
    g: Tensor
    open: OpenBatch

    @property
    def slices(self) -> list[slice]:
        return layer_slices(self.problem, self.mlp)

    @property
    def factor(self) -> Tensor:
        """F_i with the factor in front of the sum, (N, D, D)."""
        assert self.problem.loss.factor is not None
        return self.problem.scale**0.5 * self.problem.loss.factor(self.open.outputs, self.problem.y)

    @property
    def deltas(self) -> list[Tensor]:
        r = residuals(self.problem, Batch(self.problem.x, self.problem.y, 0), self.open.outputs)
        return [rows[:, 0] for rows in self.open.pulled(r[:, None, :])]

    def rows(self, seeds: Tensor) -> tuple[Tensor, ...]:
        return self.open.pulled(seeds.expand(self.problem.num_data, -1, -1))

    def extended(self, layer: int) -> Tensor:
        a = self.open.inputs[layer]
        return a if self.open.biases[layer] is None else torch.cat([a, torch.ones_like(a[:, :1])], 1)

    def path(self, low: int, high: int) -> Tensor:
        """C = da_(high - 1) / dz_low, sample by sample: D W D ... W D."""
        C = torch.diag_embed(self.open.slopes[low])
        for l in range(low + 1, high):
            C = torch.diag_embed(self.open.slopes[l]) @ self.open.weights[l] @ C
        return C

    def flat(self, matrix: Tensor, layer: int) -> Tensor:
        """Leading (n_l, n_(l-1) [+ 1]) of weights and bias as theta lays them out: weights first, then the bias."""
        n = self.open.weights[layer].shape[1]
        return torch.cat([matrix[:, :n].flatten(0, 1), matrix[:, n:].flatten(0, 1)])


@cache
def point(case: Case) -> Point:
    problem, mlp = opened(case, batch_size=3)
    eye = torch.eye(problem.num_params, dtype=torch.float64)
    H, G = HessianOperator(problem).matmat(eye), GaussNewtonOperator(problem).matmat(eye)
    layers = open_batch(problem, mlp, Batch(problem.x, problem.y, 0))
    return Point(problem, mlp, H, G, JacobianOperator(problem).matmat(eye), loss_and_gradient(problem)[1], layers)


@by_case
def test_diagonal_blocks_are_shared(case: Case) -> None:
    """H_ll = G_ll for weights and bias together, and positive semidefinite."""
    at = point(case)
    size = float(at.H.abs().max())
    for rows in at.slices:
        close(at.H[rows, rows], at.G[rows, rows], size)
        assert torch.linalg.eigvalsh(at.H[rows, rows])[0] > -1e-12 * size


@by_case
def test_biases_of_the_later_layer_take_no_part(case: Case) -> None:
    """R = 0 between everything of layer l and the bias of any later layer."""
    at = point(case)
    R, size = at.H - at.G, float(at.H.abs().max())
    for high, name in enumerate(at.mlp.layers[1:], 1):
        if at.open.biases[high] is not None:
            bias = at.problem.space.slices[f"{name}.bias"]
            earlier = R[bias, : at.slices[high].start]
            close(earlier, torch.zeros_like(earlier), size)


@by_case
def test_traces(case: Case) -> None:
    """tr H_ll = sum_i tr(M_i B_l B_l') (|a|^2 + 1), M_i by differentiating the loss twice."""
    at = point(case)
    problem, f = at.problem, at.open.outputs
    M = [
        hessian(lambda f, y=problem.y[i : i + 1]: problem.scale * problem.loss.total(f[None], y))(f[i])
        for i in range(len(f))
    ]
    rows = at.rows(torch.eye(problem.num_outputs, dtype=torch.float64))
    traces = [
        torch.einsum("ncd,ncp,ndp,n->", torch.stack(M), r, r, (at.extended(l) ** 2).sum(1)) for l, r in enumerate(rows)
    ]
    close(layer_traces(problem, at.mlp), torch.stack(traces))
    close([at.H[rows, rows].trace() for rows in at.slices], torch.stack(traces))


@by_case
def test_gram_matrix(case: Case) -> None:
    """J J' from the layers; F' J J' F has the nonzero eigenvalues of G, and its norm."""
    at = point(case)
    N, D = at.problem.num_data, at.problem.num_outputs
    JJ = torch.zeros(N, D, N, D, dtype=torch.float64)
    for l, B in enumerate(at.rows(torch.eye(D, dtype=torch.float64))):
        JJ += torch.einsum("icp,jdp,ij->icjd", B, B, at.open.inner_inputs(l, slice(None), slice(None)))
    close(JJ.reshape(N * D, N * D), at.J @ at.J.T)
    gram = torch.einsum("iac,iajb,jbd->icjd", at.factor, JJ, at.factor).reshape(N * D, N * D)
    ours, theirs = torch.linalg.eigvalsh(gram).flip(0), torch.linalg.eigvalsh(at.G).flip(0)
    common = min(len(ours), len(theirs))
    close(ours[:common], theirs[:common])
    rest = torch.cat([ours[common:], theirs[common:]])
    close(rest, torch.zeros_like(rest), float(ours[0]))
    close((gram**2).sum(), (at.G**2).sum())


@by_case
def test_gradient(case: Case) -> None:
    """g_l = sum_i delta_l (a, 1)'."""
    at = point(case)
    layers = [at.flat(delta.T @ at.extended(l), l) for l, delta in enumerate(at.deltas)]
    close(at.g, torch.cat(layers))


@by_case
def test_every_entry_of_the_residual_part(case: Case) -> None:
    """R[(k; s, t), (l; p, q)] = sum_i delta_k[s] C_i[t, p] a_l[q] for l < k, its transpose above, 0 elsewhere."""
    at = point(case)
    R = torch.zeros_like(at.H)
    for low in range(len(at.slices)):
        for high in range(low + 1, len(at.slices)):
            block = torch.einsum("is,itp,iq->stpq", at.deltas[high], at.path(low, high), at.extended(low))
            weights = slice(at.slices[high].start, at.slices[high].start + at.open.weights[high].numel())
            entries = at.flat(block.flatten(0, 1).movedim(0, -1), low).T
            R[weights, at.slices[low]] = entries
            R[at.slices[low], weights] = entries.T
    size = float(at.H.abs().max())
    close(at.H - at.G, R, size)
    close(at.H.trace(), at.G.trace())


@by_case
def test_squared_norms_by_pairs_of_samples(case: Case) -> None:
    """|R|^2 and <G, R> as sums over pairs of samples, and their total the sum of all blocks."""
    at = point(case)
    R, B = at.H - at.G, at.rows(at.factor.transpose(1, 2))
    crossed = squared = torch.zeros((), dtype=torch.float64)
    for low in range(len(at.slices)):
        inner = at.extended(low) @ at.extended(low).T
        for high in range(low + 1, len(at.slices)):
            delta, C, a = at.deltas[high], at.path(low, high), at.open.inputs[high]
            squared = squared + 2 * ((delta @ delta.T) * torch.einsum("ntp,mtp->nm", C, C) * inner).sum()
            bent = torch.einsum("ns,mcs->nmc", delta, B[high])
            carried = torch.einsum("mt,ntp,mcp->nmc", a, C, B[low])
            crossed = crossed + 2 * (bent * carried * inner[:, :, None]).sum()
    size = float((at.H**2).sum())
    close((R**2).sum(), squared, size)
    close((at.G * R).sum(), crossed, size)
    close(block_norms(at.problem, at.mlp).sum(), (at.G**2).sum() + 2 * crossed + squared)
