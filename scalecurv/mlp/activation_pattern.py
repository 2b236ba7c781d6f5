"""The activation pattern of an MLP on a batch: the parameters that can move an output, and the margin of kinks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scalecurv.mlp.layers import OpenBatch, bent, open_batch
from scalecurv.problem.problem import Problem
from scalecurv.problem.risk import sum_over_data
from scalecurv.problem.structure import MLP
from scalecurv.samples.batch import Batch


@dataclass(frozen=True)
class ActivationPattern:
    """The neurons of each layer that are on, sample by sample, and lead to an output.

    `reach[l]` (N, n_l) bool is True where a path of nonzero weights through neurons that are on leads to an output;
    `live[l]` where the neuron itself is on, too. The outputs are the last layer, and all of them are live.
    `touched[l]` (n_l, n_(l-1) + 1) bool is True where, on some sample, a parameter of the layer meets a live neuron and
    a nonzero input; biases are the last column, False without bias. A live neuron has no effect where paths cancel; one
    that is not live never has any.
    """

    reach: tuple[Tensor, ...]
    live: tuple[Tensor, ...]
    touched: tuple[Tensor, ...]

    @property
    def num_touched(self) -> int:
        """The number of parameters that are touched: the columns of J of all others are zero."""
        return sum(int(t.sum()) for t in self.touched)


def activation_pattern(opened: OpenBatch, generic: bool = False) -> ActivationPattern:
    """Return the activation pattern on the samples of an open batch; `generic` takes every weight for nonzero."""
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
    return ActivationPattern(tuple(reach), tuple(live), tuple(touched))


def num_touched(problem: Problem, mlp: MLP) -> int:
    """Return the number of parameters that are touched on some sample of the data, a mini-batch at a time."""
    seen: list[Tensor] | None = None
    for batch in problem.batches():
        touched = activation_pattern(open_batch(problem, mlp, batch)).touched
        seen = list(touched) if seen is None else [a | b for a, b in zip(seen, touched, strict=True)]
    assert seen is not None
    return sum(int(t.sum()) for t in seen)


def num_rescalings(pattern: ActivationPattern, inputs: tuple[Tensor, ...]) -> int:
    """Return the number of hidden neurons that are live with a nonzero output on some sample.

    `inputs` are those of the layers. Each such neuron can be rescaled without moving any output: w_in and b_in times
    e^t, w_out times e^-t (Neyshabur, Salakhutdinov and Srebro 2015, arXiv 1506.02617). These directions are independent
    among the touched parameters: ordered by layers, the image of each has a component in its own neuron's
    pre-activation that the images of later ones do not have.
    """
    pairs = zip(pattern.live[:-1], inputs[1:], strict=True)
    return sum(int((live & (a != 0)).any(0).sum()) for live, a in pairs)


def _touched(live: Tensor, nonzero: Tensor, bias: Tensor | None) -> Tensor:
    """Return (n_l, n_(l-1) + 1) bool: the parameters that on some sample meet a live neuron and a nonzero input."""
    met = live.to(torch.float32).T @ nonzero.to(torch.float32) > 0
    return torch.cat([met, (live.any(0) & (bias is not None))[:, None]], dim=1)


def kinks(problem: Problem, mlp: MLP) -> Tensor:
    """Return the number of (sample, neuron) pairs within rounding of a kink in each hidden layer, (L - 1,), float64.

    z is within rounding of a kink where phi'(z - d) != phi'(z + d), d = eps sqrt(n + 1) (|W| |a| + |b|) for inner
    products of length n in the problem's own dtype. Exact zeros count: they come from zero biases behind a layer
    that is off, where autograd takes phi'(0) = 0 and the one-sided derivative may be 1.
    """
    return sum_over_data(problem, lambda batch: _kinks_of_batch(problem, mlp, batch)).double()


def _kinks_of_batch(problem: Problem, mlp: MLP, batch: Batch) -> Tensor:
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
    """Return min |z| / s over the hidden neurons of each sample that reach an output, (B,); inf where there is none.

    eps s bounds the rounding error of z, counted from the inputs on: s = (n + 2) (|W| |a| + |b|) + |W| s(a) for n
    inputs, s(phi(z)) = |phi'| s(z) + |a| (Higham 2002, Accuracy and Stability of Numerical Algorithms, chapter 3). It
    holds for activations with their kink at 0; the margin is 0 where z is exactly 0, as behind a layer that is off with
    biases 0. A neuron without a path of nonzero weights to an output does not count.
    """
    reach = activation_pattern(opened).reach
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
    """Return the smallest margin of all samples."""
    return min(float(kink_margins(open_batch(problem, mlp, batch), mlp).min()) for batch in problem.batches())
