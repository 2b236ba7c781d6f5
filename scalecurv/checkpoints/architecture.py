"""The layers of an MLP, inferred from names and shapes of its tensors; their order is never guessed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from scalecurv.checkpoints.load import Checkpoint
from scalecurv.data.shards import by_numbers
from scalecurv.errors import CheckpointError

_ADVICE = "give --model pkg.mod:factory"


@dataclass(frozen=True)
class Layers:
    """The affine layers in the order of the forward pass: names, widths n_0 .. n_L, and which have a bias."""

    names: tuple[str, ...]
    widths: tuple[int, ...]
    biases: tuple[bool, ...]


def infer_layers(checkpoint: Checkpoint) -> Layers:
    """Return the layers of the MLP that a checkpoint holds.

    Their order is that of the numbers in their names where all names have the form a<number>b; else that of the file
    where it kept the model's order; else the only one in which the shapes fit. Raises CheckpointError, naming the
    tensor, where the tensors are not those of an MLP, or several orders fit.
    """
    tensors, path = checkpoint.tensors, checkpoint.path
    layers = [name.removesuffix(".weight") for name, t in tensors.items() if name.endswith(".weight") and t.ndim == 2]
    for name, tensor in tensors.items():
        layer = name.removesuffix(".weight").removesuffix(".bias")
        is_bias = name.endswith(".bias") and layer in layers and tensor.shape == tensors[f"{layer}.weight"].shape[:1]
        if not is_bias and not (name.endswith(".weight") and tensor.ndim == 2):
            raise CheckpointError(f"{path}: {name} of shape {tuple(tensor.shape)} belongs to no plain MLP; {_ADVICE}")
    _refuse_tied(checkpoint)
    order = _order(checkpoint, layers)
    for before, after in pairwise(order):
        if not _chains(tensors, before, after):
            raise CheckpointError(
                f"{path}: {after}.weight of shape {tuple(tensors[f'{after}.weight'].shape)} does not follow "
                f"{before}.weight of shape {tuple(tensors[f'{before}.weight'].shape)} in an MLP; {_ADVICE}"
            )
    widths = (tensors[f"{order[0]}.weight"].shape[1], *(tensors[f"{name}.weight"].shape[0] for name in order))
    return Layers(tuple(order), widths, tuple(f"{name}.bias" in tensors for name in order))


def _refuse_tied(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError for a weight under two names: it is one parameter, and a Sequential would have two."""
    first: dict[int, str] = {}
    for name, tensor in checkpoint.tensors.items():
        if tensor.numel() and (other := first.setdefault(tensor.data_ptr(), name)) != name:
            raise CheckpointError(f"{checkpoint.path}: {name} is tied to {other}, as in no plain MLP; {_ADVICE}")


def _order(checkpoint: Checkpoint, layers: list[str]) -> list[str]:
    by_number = sorted(layers, key=by_numbers)
    skeletons = {re.sub(r"\d+", "#", name) for name in layers}
    numbered = len(skeletons) == 1 and (len(layers) == 1 or "#" in next(iter(skeletons)))
    if not checkpoint.ordered:
        return by_number if numbered else _only_chain(checkpoint, layers)
    both_chain = _all_chain(checkpoint.tensors, layers) and _all_chain(checkpoint.tensors, by_number)
    if numbered and by_number != layers and both_chain:
        raise CheckpointError(
            f"{checkpoint.path}: the order of {layers[0]}.weight is ambiguous: the file lists {', '.join(layers)}, "
            f"their numbers say {', '.join(by_number)}; {_ADVICE}"
        )
    return by_number if numbered else layers


def _only_chain(checkpoint: Checkpoint, layers: list[str]) -> list[str]:
    """Return the only order in which the shapes fit, for unnumbered layers in a file that sorts names.

    Raises CheckpointError where no order fits, or several do.
    """
    chains = [[name] for name in layers]
    for _ in layers[1:]:
        chains = [
            [*chain, name]
            for chain in chains
            for name in layers
            if name not in chain and _chains(checkpoint.tensors, chain[-1], name)
        ]
        if len(chains) > 10_000:  # with equal widths the count is factorial, and no order is the only one
            break
    if len(chains) != 1:
        raise CheckpointError(
            f"{checkpoint.path}: the order of {layers[0]}.weight among {', '.join(layers)} cannot be told from shapes, "
            f"and the file sorted the names; {_ADVICE}"
        )
    return chains[0]


def _all_chain(tensors: Mapping[str, Tensor], order: list[str]) -> bool:
    return all(_chains(tensors, a, b) for a, b in pairwise(order))


def _chains(tensors: Mapping[str, Tensor], before: str, after: str) -> bool:
    return tensors[f"{before}.weight"].shape[0] == tensors[f"{after}.weight"].shape[1]
