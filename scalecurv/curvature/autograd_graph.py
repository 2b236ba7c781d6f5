"""What the graph of a pass through the model tells: what it was computed by, and whose parameters it reaches."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.autograd.graph import Node


def nodes(value: Tensor) -> Iterator[Node]:
    """Every node that `value` was computed by, once each."""
    todo, seen = [value.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        todo += [parent for parent, _ in node.next_functions]


def stranger(value: Tensor) -> nn.Parameter | None:
    """A parameter that `value` depends on by itself: forward reaches it by another way than the model's own names."""
    variables = (getattr(node, "variable", None) for node in nodes(value))
    return next((v for v in variables if isinstance(v, nn.Parameter)), None)
