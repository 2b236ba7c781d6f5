"""Tensors of a file that are no layers of an MLP, and several networks in one file, by shapes and names."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor

from scalecurv.checkpoints.names import common_prefix

# modules of a loss or a metric, in names such as criterion.weight and train_loss.pos_weight
_LOSS = re.compile(
    r"(?:^|[._])(?:criterion|criteria|loss(?:es)?|metrics?|class_?weights?|pos_weight|acc|accuracy|f1|auroc|iou)(?=[._]|$)",
    re.IGNORECASE,
)
# counts of batch norm, AveragedModel and thop; positions of embeddings, which are 0, 1, 2, ...
_COUNTS = frozenset(("num_batches_tracked", "n_averaged", "total_ops", "total_params", "position_ids"))
# names of networks of which a file holds several, each whole by itself
_RIVALS = frozenset((
    "student", "teacher", "online", "target", "g", "d", "generator", "discriminator", "netg", "netd", "actor", "critic",
    "policy", "value", "ema", "model_ema", "ema_model",
))  # fmt: skip


def beside_layers(tensors: Mapping[str, Tensor], layers: Sequence[str]) -> frozenset[str]:
    """Return the names of vectors and scalars that are no part of a network of these layers.

    They are counts, and weights of a loss or a metric. Any other vector or scalar may be a norm, a bias, a scale or a
    slope of the network, whatever its name, and is not among them.
    """
    return frozenset(
        name
        for name, tensor in tensors.items()
        if tensor.ndim <= 1
        and not any(name.startswith(f"{layer}.") and name[len(layer) + 1 :] in ("weight", "bias") for layer in layers)
        and (_is_count(name, tensor) or _LOSS.search(name))
    ) | frozenset(name for name in tensors if name.rpartition(".")[2] in _COUNTS)


def _is_count(name: str, tensor: Tensor) -> bool:
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    return (whole and tensor.ndim == 0) or name.rpartition(".")[2] in _COUNTS


def networks_of(tensors: Mapping[str, Tensor], layers: Sequence[str]) -> dict[str, list[str]]:
    """Return the layers of each network by its prefix, where a file holds several; else all under one.

    Networks of several layers are told by equal names and shapes, or by what people call them (student and teacher,
    G and D). Numbered modules are parts of one network.
    """
    home = common_prefix([f"{layer}." for layer in layers])
    heads: dict[str, list[str]] = defaultdict(list)
    for layer in layers:
        head, dot, _ = layer[len(home) :].partition(".")
        heads[f"{home}{head}{dot}" if dot else ""].append(layer)
    if "" in heads or len(heads) < 2 or len({re.sub(r"\d+", "#", head) for head in heads}) < 2:
        return {home: list(layers)}
    bodies = [tuple((n[len(head) :], tensors[f"{n}.weight"].shape) for n in names) for head, names in heads.items()]
    alike = len(bodies) > len(set(bodies)) and all(len(body) > 1 for body in bodies)
    rivals = sum(head[len(home) :].rstrip(".").lower() in _RIVALS for head in heads) > 0
    return dict(heads) if alike or rivals else {home: list(layers)}
