"""Directions in which one neuron takes over what another passes on."""

import torch
from torch import Tensor

from scalecurv.curvature.factors import JacobianFactors
from scalecurv.curvature.inner_ranks import beside_one, group_ranks
from scalecurv.curvature.layers import OpenBatch
from scalecurv.curvature.liveness import Liveness

WIDEST = 2048  # neurons of a layer that are compared two by two


def exchanges(opened: OpenBatch, alive: Liveness, cells: tuple[JacobianFactors, ...], layer: int) -> int:
    """Directions in which a neuron of the layer takes over what another passes on, and no output moves.

    Where neurons j and k are on for the same samples of those on which j reaches an output, w_k can be added to w_j
    and taken off again behind them: w_in(j) += w_in(k), w_out(k) -= w_out(j). k = j is the rescaling; a neuron that
    is always on exchanges with the biases too. For each j as many are independent as the rank of the outputs of
    those k on the live samples of j; ordered by layers, those of different neurons and layers are.
    """
    live = alive.live[layer]
    moving = (live & torch.stack([cell.inputs[layer + 1] != 0 for cell in cells]).any(0)).any(0)
    partners = _partners(opened, alive, layer)
    many = live.any(0) if partners is None else (partners.sum(1) > 1) & live.any(0)
    if partners is None or not many.any():
        return int(moving.sum())
    found = []
    for cell in cells:
        outputs = beside_one(cell.inputs[layer + 1], True)
        most = int(partners[many].sum(1).max())
        ranks = group_ranks(live[:, many], outputs, cell.modulus, most, partners[many])
        found.append(moving[many].to(torch.int64) if ranks is None else ranks)
    return int((moving & ~many).sum()) + int(torch.stack(found).max(0).values.sum())


def _partners(opened: OpenBatch, alive: Liveness, layer: int) -> Tensor | None:
    """Row j (n + 1): the neurons k that j can exchange with, the biases last; None for a layer too wide to compare."""
    on, reach = opened.slopes[layer] == 1, alive.reach[layer]
    if on.shape[1] > WIDEST:
        return None
    off_here, on_here = (reach & ~on).float(), (reach & on).float()
    same = off_here.T @ on.float() + on_here.T @ (~on).float() == 0
    biased = opened.biases[layer] is not None and opened.biases[layer + 1] is not None
    return torch.cat([same, ((off_here.sum(0) == 0) & biased)[:, None]], dim=1)
