"""Multilayer perceptrons recognised as such: from the modules, never assumed."""

from dataclasses import dataclass

from torch import nn

# phi(c z) = c phi(z) for c > 0: hidden neurons can be rescaled without changing the function
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.Identity)


@dataclass(frozen=True)
class MLP:
    """Widths n_0 .. n_L of the affine layers, and the activations between them."""

    widths: tuple[int, ...]
    activations: tuple[nn.Module, ...]
    num_params: int

    @property
    def num_hidden(self) -> int:
        """h = n_1 + ... + n_(L-1), the hidden neurons."""
        return sum(self.widths[1:-1])

    @property
    def homogeneous(self) -> bool:
        """Whether every hidden neuron sits under a positively homogeneous activation."""
        return all(isinstance(a, HOMOGENEOUS) for a in self.activations)


def recognise_mlp(model: nn.Module) -> MLP | None:
    """The structure of a Sequential of Flatten, Linear and activations with every parameter free, or None.

    An activation is a module without parameters or children that stands between two Linear modules.
    """
    if not isinstance(model, nn.Sequential) or any(not p.requires_grad for p in model.parameters()):
        return None
    modules = [m for m in model if not isinstance(m, nn.Flatten | nn.Dropout)]
    linears, activations = modules[0::2], modules[1::2]
    if not linears or not all(type(m) is nn.Linear for m in linears):
        return None
    if len(linears) != len(activations) + 1:
        return None
    if any(list(a.parameters()) or list(a.children()) or not _elementwise(a) for a in activations):
        return None
    if len({id(m.weight) for m in linears}) < len(linears):
        return None  # tied layers
    widths = (int(linears[0].in_features), *(int(m.out_features) for m in linears))  # type: ignore[arg-type]
    return MLP(widths, tuple(activations), sum(p.numel() for p in model.parameters()))


def _elementwise(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(
        module, nn.Softmax | nn.LogSoftmax | nn.Softmin | nn.GLU | nn.MultiheadAttention
    )
