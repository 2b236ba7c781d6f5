"""The numbers of samples and of vectors that fit into a memory budget at once."""

from dataclasses import dataclass

from torch import nn

from scalecurv.problem.structure import MLP
from scalecurv.samples.nested import Inputs, tensors_in

MAX_COLUMNS = 64  # beyond this a wider block no longer runs faster
COPIES = 6  # live copies of each activation while a product of second order is taken by autograd
VECTORS = 4  # parameter vectors for each column of that product
SCALARS = 10**6  # activations of a block beyond which autograd is no faster on several vectors than on one
ROWS = 4096  # samples times columns beyond which a wider block of products in closed form no longer runs faster


@dataclass(frozen=True)
class Footprint:
    """The scalars that a mini-batch keeps in memory, and the bytes of one.

    `activations` are those that the model puts out for one sample, `kept` those that stay for each sample from one
    product to the next, and `each` those that a product takes for each sample and column. A column also takes
    `vectors` vectors of P = `num_params` parameters. A block is no wider than `rows` samples times columns, since it
    would be no faster. `inputs` are those of one sample where the others do not count them: a mini-batch holds them
    anew where the samples stay in their file.
    """

    activations: int
    num_params: int
    itemsize: int
    kept: int
    each: int
    rows: int
    vectors: int = VECTORS
    inputs: int = 0

    @classmethod
    def by_graph(cls, activations: int, num_params: int, itemsize: int) -> "Footprint":
        """Return the footprint of products that autograd takes."""
        return cls(activations, num_params, itemsize, 0, COPIES * activations, SCALARS // max(activations, 1))

    @classmethod
    def closed_form(cls, activations: int, mlp: MLP, itemsize: int) -> "Footprint":
        """Return the footprint of products with an MLP's H, G and J in closed form.

        A pass keeps a, phi' and dL/dz of hidden neurons, and phi'' and its product with dL/da where an activation
        bends. A product keeps the changes of a, and of z where it bends; it holds two neighbouring layers of the
        backward pass, and at the outputs some copies. Of parameter vectors there are a block in the order of memory,
        its product, and the place in a wider block that the product is written to.
        """
        bent, outputs = not mlp.piecewise_linear, mlp.widths[-1]
        neighbours = max(a + b for a, b in zip(mlp.widths[1:], [*mlp.widths[2:], 0], strict=True))
        kept = (5 if bent else 3) * mlp.num_hidden + 2 * outputs
        each = (2 if bent else 1) * mlp.num_hidden + neighbours + COPIES * outputs
        return cls(activations, mlp.num_params, itemsize, kept, each, ROWS, vectors=3, inputs=mlp.widths[0])

    def batch_size(self, memory: int, num_data: int) -> int:
        """Return the size of the largest mini-batch whose product with one vector fits into half of `memory` bytes."""
        return max(1, min(num_data, memory // 2 // (self.itemsize * max(self.inputs + self.kept + self.each, 1))))

    def memory(self, batch_size: int, columns: int) -> int:
        """Return the memory of which `columns` vectors and a mini-batch of this size take half, all that they may."""
        per_column = self.vectors * self.num_params + self.each * batch_size
        return 2 * self.itemsize * ((self.inputs + self.kept) * batch_size + columns * per_column)

    def columns(self, memory: int, batch_size: int) -> int:
        """Return the number of vectors that one product over a mini-batch takes together."""
        left = memory // 2 - self.itemsize * (self.inputs + self.kept) * batch_size
        per_column = self.itemsize * (self.vectors * self.num_params + self.each * batch_size)
        return max(1, min(MAX_COLUMNS, self.rows // batch_size, left // per_column))


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
