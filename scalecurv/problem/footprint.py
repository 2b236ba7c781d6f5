"""The numbers of samples and of vectors that fit into a memory budget at once."""

from dataclasses import dataclass

from torch import nn

from scalecurv.samples.nested import Inputs, tensors_in

MAX_COLUMNS = 64  # beyond this a wider block no longer runs faster
COPIES = 6  # live copies of each activation while a product of second order is taken


@dataclass(frozen=True)
class Footprint:
    """The scalars that one sample keeps in memory in one pass, those of one parameter vector, and bytes a scalar."""

    activations: int
    num_params: int
    itemsize: int

    def batch_size(self, memory: int, num_data: int) -> int:
        """Return the size of the largest mini-batch whose product with one vector fits into half of `memory` bytes."""
        return max(1, min(num_data, memory // 2 // (COPIES * self.itemsize * max(self.activations, 1))))

    def columns(self, memory: int, batch_size: int) -> int:
        """Return the number of vectors that one product over a mini-batch takes together."""
        per_column = self.itemsize * (4 * self.num_params + COPIES * self.activations * batch_size)
        return max(1, min(MAX_COLUMNS, memory // 2 // per_column))


def count_activations(model: nn.Module, forward, sample: Inputs) -> int:  # type: ignore[no-untyped-def]
    """Return the scalars per sample that leaf modules put out while `forward(sample)` runs, sample (B, ...)."""
    total = 0

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        total += sum(tensor.numel() for tensor in tensors_in(output))

    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        forward(sample)
    finally:
        for handle in handles:
            handle.remove()
    return (total + sample.numel()) // len(sample)
