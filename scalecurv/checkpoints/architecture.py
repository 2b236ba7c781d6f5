"""The layers of an MLP, inferred from names and shapes of its tensors; their order is never guessed."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from scalecurv.checkpoints.beside_layers import beside_layers, networks_of
from scalecurv.checkpoints.load import Checkpoint
from scalecurv.checkpoints.names import ignoring, networks
from scalecurv.data.shards import by_numbers
from scalecurv.display import listing, shown
from scalecurv.errors import CheckpointError

_ADVICE = "give --model pkg.mod:factory"
SEVERAL = 4  # tensors without a layer that one option may leave out; where there are more, it is another network
_ADAPTER = re.compile(r"(?:^|[.])lora_(?:A|B|embedding_[AB]|magnitude_vector)(?:[.]|$)")


@dataclass(frozen=True)
class Layers:
    """The affine layers in the order of the forward pass: names, widths n_0 .. n_L, and which have a bias.

    `left_out` are the names in the file of tensors that no layer of a network can be: counts, and weights of a loss.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    biases: tuple[bool, ...]
    left_out: tuple[str, ...] = ()


def infer_layers(checkpoint: Checkpoint) -> Layers:
    """Return the layers of the MLP that a checkpoint holds.

    Their order is that of the numbers in their names where all names have the form a<number>b; else that of the file
    where it kept the model's order; else the only one in which the shapes fit. Vectors and scalars that cannot be part
    of a chain are left out. Raises CheckpointError, naming the tensor, where other tensors are not those of an MLP, the
    file holds several networks, or several orders fit.
    """
    tensors, path = checkpoint.tensors, checkpoint.path
    if tensors and all(map(_ADAPTER.search, tensors)):  # the two matrices of an adapter follow each other like layers
        raise CheckpointError(f"{path} holds no network{adapter_advice(checkpoint)}")
    layers = [name.removesuffix(".weight") for name, t in tensors.items() if name.endswith(".weight") and t.ndim == 2]
    aside = beside_layers(tensors, layers)
    others = [name for name in tensors if name not in aside and not _is_part(tensors, name, layers)]
    if others or not layers:
        name = others[0] if others else next(iter(tensors))
        raise CheckpointError(
            f"{path}: {shown(name)} of shape {tuple(tensors[name].shape)} belongs to no plain MLP; "
            f"{_advice(checkpoint, layers, others)}{adapter_advice(checkpoint)}"
        )
    if len(several := networks_of(tensors, layers)) > 1:
        found = {head: [checkpoint.written(n) for n in tensors if n.startswith(head)] for head in several}
        raise CheckpointError(f"{path} holds several networks: {networks(found)}; for one model of them all, {_ADVICE}")
    _refuse_tied(checkpoint, aside)
    order = _order(checkpoint, layers)
    for before, after in pairwise(order):
        if not _chains(tensors, before, after):
            raise CheckpointError(
                f"{path}: {shown(after)}.weight of shape {tuple(tensors[f'{after}.weight'].shape)} does not follow "
                f"{shown(before)}.weight of shape {tuple(tensors[f'{before}.weight'].shape)} in an MLP; {_ADVICE}"
                f"{adapter_advice(checkpoint)}"
            )
    widths = (tensors[f"{order[0]}.weight"].shape[1], *(tensors[f"{name}.weight"].shape[0] for name in order))
    left_out = tuple(sorted(map(checkpoint.written, aside)))
    return Layers(tuple(order), widths, tuple(f"{name}.bias" in tensors for name in order), left_out)


def _is_part(tensors: Mapping[str, Tensor], name: str, layers: Sequence[str]) -> bool:
    """Return True for the weight of a layer, and for a bias of its size."""
    layer, _, leaf = name.rpartition(".")
    if layer not in layers:
        return False
    return leaf == "weight" or (leaf == "bias" and tensors[name].shape == tensors[f"{layer}.weight"].shape[:1])


def _advice(checkpoint: Checkpoint, layers: Sequence[str], others: Sequence[str]) -> str:
    """Return the advice on tensors that belong to no layer: give a factory, or leave them out."""
    if not layers or len(others) > SEVERAL:
        return _ADVICE
    return f"{_ADVICE}, or if the network does not use it, {ignoring([checkpoint.written(name) for name in others])}"


def adapter_advice(checkpoint: Checkpoint) -> str:
    """Return the advice for an adapter (LoRA), as the end of a message; "" for any other checkpoint."""
    if not any(_ADAPTER.search(name) for name in checkpoint.tensors):
        return ""
    return (
        "; it is an adapter (LoRA), which changes the weights of another model and holds none of them: save the whole "
        "model, model.merge_and_unload().state_dict()"
    )


def _refuse_tied(checkpoint: Checkpoint, aside: Container[str]) -> None:
    """Raise CheckpointError for a weight under two names: it is one parameter, and a Sequential would have two."""
    first: dict[int, str] = {}
    for name, tensor in checkpoint.tensors.items():
        if name not in aside and tensor.numel() and (other := first.setdefault(tensor.data_ptr(), name)) != name:
            raise CheckpointError(
                f"{checkpoint.path}: {shown(name)} is tied to {shown(other)}, as in no plain MLP; {_ADVICE}"
            )


def _order(checkpoint: Checkpoint, layers: list[str]) -> list[str]:
    by_number = sorted(layers, key=by_numbers)
    skeletons = {re.sub(r"\d+", "#", name) for name in layers}
    numbered = len(skeletons) == 1 and (len(layers) == 1 or "#" in next(iter(skeletons)))
    if not checkpoint.ordered:
        return by_number if numbered else _only_chain(checkpoint, layers)
    both_chain = _all_chain(checkpoint.tensors, layers) and _all_chain(checkpoint.tensors, by_number)
    if numbered and by_number != layers and both_chain:
        raise CheckpointError(
            f"{checkpoint.path}: the order of {shown(layers[0])}.weight is ambiguous: the file lists "
            f"{listing(layers, 10)}, their numbers say {listing(by_number, 10)}; {_ADVICE}"
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
            f"{checkpoint.path}: the order of {shown(layers[0])}.weight among {listing(layers, 10)} cannot be told "
            f"from shapes, and the file sorted the names; {_ADVICE}"
        )
    return chains[0]


def _all_chain(tensors: Mapping[str, Tensor], order: list[str]) -> bool:
    return all(_chains(tensors, a, b) for a, b in pairwise(order))


def _chains(tensors: Mapping[str, Tensor], before: str, after: str) -> bool:
    return tensors[f"{before}.weight"].shape[0] == tensors[f"{after}.weight"].shape[1]
