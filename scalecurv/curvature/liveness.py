"""Which parameters of an MLP can move an output on a batch at all: read off zeros, before any arithmetic."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scalecurv.curvature.layers import OpenBatch, open_batch
from scalecurv.curvature.mlp import MLP
from scalecurv.curvature.problem import Problem


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
