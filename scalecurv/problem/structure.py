"""Multilayer perceptrons, recognised by the modules of a model."""

from dataclasses import dataclass

from torch import nn

# phi(c z) = c phi(z) for c > 0: a hidden neuron can be rescaled without changing the function
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.Identity)
# phi'' = 0 wherever it exists
PIECEWISE_LINEAR = (*HOMOGENEOUS, nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink, nn.Threshold)


@dataclass(frozen=True)
class MLP:
    """The affine layers of a perceptron: widths n_0 .. n_L, names in the model, and the activations between them."""

    widths: tuple[int, ...]
    activations: tuple[nn.Module, ...]
    num_params: int
    layers: tuple[str, ...] = ()

    @property
    def num_hidden(self) -> int:
        """The number h of hidden neurons, the sum of n_1 to n_(L-1)."""
        return sum(self.widths[1:-1])

    @property
    def homogeneous(self) -> bool:
        """True where every activation is positively homogeneous."""
        return all(type(a) in HOMOGENEOUS for a in self.activations)

    @property
    def piecewise_linear(self) -> bool:
        """True where no output has a second derivative along a single parameter, at almost every theta."""
        return all(type(a) in PIECEWISE_LINEAR for a in self.activations)


def recognise_mlp(model: nn.Module) -> MLP | None:
    """Return the structure of a Sequential of Flatten, Linear, Dropout and activations, all parameters free, or None.

    An activation is an elementwise module of torch.nn without parameters or children between two Linear modules; one
    module may stand in several places. None is returned where the model may compute something else than its list of
    modules (its own forward, hooks, a subclass of a layer), where layers share a parameter, and where there is one that
    is no weight or bias of a layer.
    """
    if not isinstance(model, nn.Sequential) or any(not p.requires_grad for p in model.parameters()):
        return None
    if nn.modules.module._global_forward_hooks or nn.modules.module._global_forward_pre_hooks:
        return None
    if type(model).forward is not nn.Sequential.forward or any(_altered(m) for m in model.modules()):
        return None
    # not by named_children(), which leaves a repeated module out
    listed = [(name, m) for name, m in model._modules.items() if m is not None]
    named = [(name, m) for name, m in listed if type(m) not in (nn.Flatten, nn.Dropout)]
    modules = [m for _, m in named]
    linears, activations = modules[0::2], modules[1::2]
    if not linears or not all(type(m) is nn.Linear for m in linears):
        return None
    if len(linears) != len(activations) + 1:
        return None
    if any(list(a.parameters()) or list(a.children()) or not _elementwise(a) for a in activations):
        return None
    parameters = [id(p) for m in linears for p in (m.weight, m.bias) if p is not None]
    if len(set(parameters)) < len(parameters) or len(parameters) < len(list(model.parameters())):
        return None  # tied layers, or parameters beside weights and biases
    widths = (int(linears[0].in_features), *(int(m.out_features) for m in linears))  # type: ignore[arg-type]
    names = tuple(name for name, _ in named[0::2])
    return MLP(widths, tuple(activations), sum(p.numel() for p in model.parameters()), names)


def flattens(model: nn.Module, num_axes: int) -> bool:
    """Return True where the first module makes one row of each sample; the inputs (B, ...) have `num_axes` axes."""
    first = next(iter(model.children()))
    return isinstance(first, nn.Flatten) and (first.start_dim, first.end_dim) in ((1, -1), (1, num_axes - 1))


def _altered(module: nn.Module) -> bool:
    """Return True where hooks or a forward on the instance may change what the class computes."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(hooks or "forward" in vars(module))


def _elementwise(module: nn.Module) -> bool:
    """Return True for an activation of torch.nn that acts on each entry alone."""
    if type(module) is nn.Identity:
        return True
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(
        module, nn.Softmax | nn.LogSoftmax | nn.Softmin | nn.GLU | nn.MultiheadAttention
    )
