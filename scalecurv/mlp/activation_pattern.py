"""Which parameters of an MLP can move an output on a batch at all: read off zeros, before any arithmetic."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scalecurv.mlp.layers import OpenBatch, bent, open_batch
from scalecurv.problem.problem import Batch, Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.problem.structure import MLP


@dataclass(frozen=True)
class Liveness:
    """`reach[l]` (N, n) bool: whether a path of on neurons and nonzero weights leads to an output, layer by layer.

    `live[l]` says that the neuron is on as well. The outputs come last, all of them live. `touched[l]` (n_l,
    n_(l-1) + 1) bool: whether on some sample a parameter of the layer meets a live neuron and a nonzero input, biases
    last; without bias, that column is False. A live neuron may still have no effect, where paths cancel; one that is
    not live never has any.
    """

    reach: tuple[Tensor, ...]
    live: tuple[Tensor, ...]
    touched: tuple[Tensor, ...]

    @property
    def num_touched(self) -> int:
        """Parameters whose column of J is not plainly zero."""
        return sum(int(t.sum()) for t in self.touched)


def liveness(opened: OpenBatch, generic: bool = False) -> Liveness:
    """On the samples of an open batch; `generic` takes every weight for nonzero."""
    reach = [torch.ones_like(opened.outputs, dtype=torch.bool)]
    live = [reach[0]]
    for weight, slope in zip(reversed(opened.weights[1:]), reversed(opened.slopes), strict=True):
        paths = torch.ones_like(weight) if generic else (weight != 0).to(weight.dtype)
        reach.append(live[-1].to(weight.dtype) @ paths > 0)
        live.append(reach[-1] & (slope != 0))
    reach.reverse()
    live.reverse()
    nonzero = [opened.inputs[0] != 0, *(slope != 0 for slope in opened.slopes)]
    touched = [_touched(*layer) for layer in zip(live, nonzero, opened.biases, strict=True)]
    return Liveness(tuple(reach), tuple(live), tuple(touched))


def num_touched(problem: Problem, mlp: MLP) -> int:
    """Parameters with a column of J that is not plainly zero over all the data, a mini-batch at a time."""
    seen: list[Tensor] | None = None
    for batch in problem.batches():
        touched = liveness(open_batch(problem, mlp, batch)).touched
        seen = list(touched) if seen is None else [a | b for a, b in zip(seen, touched, strict=True)]
    assert seen is not None
    return sum(int(t.sum()) for t in seen)


def num_rescalings(alive: Liveness, inputs: tuple[Tensor, ...]) -> int:
    """Hidden neurons that are live with a nonzero pre-activation on some sample; `inputs` are those of the layers.

    Each of them can be rescaled without moving any output (I7 for w_in, b_in against w_out), and these directions
    are independent among the parameters that are touched: ordered by layers, the image of each has a component in
    its own neuron's pre-activation that those of the following do not reach.
    """
    pairs = zip(alive.live[:-1], inputs[1:], strict=True)
    return sum(int((live & (a != 0)).any(0).sum()) for live, a in pairs)


def _touched(live: Tensor, nonzero: Tensor, bias: Tensor | None) -> Tensor:
    met = live.to(torch.float32).T @ nonzero.to(torch.float32) > 0
    return torch.cat([met, (live.any(0) & (bias is not None))[:, None]], dim=1)


def kinks(problem: Problem, mlp: MLP) -> Tensor:
    """For each hidden layer the number of (sample, neuron) pairs within rounding of a kink, shape (L - 1,), float64.

    z is within rounding of a kink where phi'(z - d) != phi'(z + d), d = eps sqrt(n + 1) (|W| |a| + |b|) for inner
    products of length n in the problem's own dtype. Exact zeros count: they come from zero biases behind a layer
    that is off, where autograd takes phi'(0) = 0 and the one-sided derivative may be 1.
    """
    return sum_over_data(problem, lambda batch: _contribution(problem, mlp, batch)).double()


def _contribution(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
    opened = open_batch(problem, mlp, batch)
    counts = [_count(opened, l, phi) for l, phi in enumerate(mlp.activations)]
    return torch.tensor(counts, dtype=torch.float64, device=problem.device)


def _count(opened: OpenBatch, layer: int, phi: nn.Module) -> int:
    z, weight = opened.pre[layer], opened.weights[layer]
    info = torch.finfo(z.dtype)
    margin = (info.eps * (weight.shape[1] + 1) ** 0.5 * opened.sizes(layer)).clamp_min(info.tiny)
    return int((bent(phi, z - margin)[1] != bent(phi, z + margin)[1]).sum())


ROUNDING = float(torch.finfo(torch.float64).eps)  # a float64 pattern is certain where its margin is above this


def kink_margins(opened: OpenBatch, mlp: MLP) -> Tensor:
    """min |z| / s over the hidden neurons of each sample that reach an output, shape (B,); inf where there is none.

    s is the size of what z is made of, with all that rounding may have added since the inputs: (n + 2) (|W| |a| + |b|)
    + |W| s(a) for n inputs, s(phi(z)) = |phi'| s(z) + |a|, so that |z| is off by less than eps s (Higham 2002, chapter
    3). For activations with their kink at 0; the margin is 0 where z is exactly 0, as behind a layer that is off with
    biases 0. A neuron without a path of nonzero weights to an output bends nothing.
    """
    reach = liveness(opened).reach
    outputs = opened.outputs
    least = torch.full((len(outputs),), torch.inf, dtype=outputs.dtype, device=outputs.device)
    carried = torch.zeros_like(opened.inputs[0])
    for l, phi in enumerate(mlp.activations):
        weight, size, z, slope = opened.weights[l].abs(), opened.sizes(l), opened.pre[l], opened.slopes[l]
        carried = (weight.shape[1] + 2) * size + carried @ weight.T
        if type(phi) is not nn.Identity:
            share = z.abs() / carried.clamp_min(torch.finfo(size.dtype).tiny)
            least = torch.minimum(least, torch.where(reach[l], share, torch.inf).amin(1))
        carried = slope.abs() * carried + opened.inputs[l + 1].abs()
    return least


def kink_margin(problem: Problem, mlp: MLP) -> float:
    """The least of all samples."""
    return min(float(kink_margins(open_batch(problem, mlp, batch), mlp).min()) for batch in problem.batches())
