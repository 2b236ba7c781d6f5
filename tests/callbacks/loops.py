"""Small trainings, each of which returns all that it left: losses, weights, moments, gradients, random streams."""

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scalecurv.callbacks import Monitor

Call = Callable[[nn.Module, int], object]
WIDTH, CLASSES, SAMPLES = 6, 3, 48


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, WIDTH, generator=generator), torch.arange(SAMPLES) % CLASSES


def network(dropout: float = 0.3) -> nn.Sequential:
    """Return an MLP that draws in train mode, and that has buffers which train mode writes to."""
    first, last = nn.Linear(WIDTH, 5), nn.Linear(5, CLASSES)
    return nn.Sequential(first, nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(dropout), last)


def plain(dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 5), nn.ReLU(), nn.Linear(5, CLASSES))


def monitor(**options: Any) -> Monitor:
    return Monitor(data(), **{"every": 2, "budget": None, "measures": ("trace", "lambda_max"), **options})


def left_behind(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Iterator[tuple[str, Any]]:
    """Yield whatever a training rests on, by name, in a form that == compares bit for bit."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        yield f"tensor {name}", tensor.detach().numpy().tobytes()
    for name, p in model.named_parameters():
        yield f"gradient {name}", None if p.grad is None else p.grad.numpy().tobytes()
        yield f"requires_grad {name}", p.requires_grad
    yield "modes", [module.training for module in model.modules()]
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    yield "hooks", [list(getattr(module, kind)) for module in model.modules() for kind in hooks]
    if optimizer is not None:
        for number, state in optimizer.state_dict()["state"].items():
            yield f"moments {number}", [torch.as_tensor(v).numpy().tobytes() for v in state.values()]
    yield "torch", torch.get_rng_state().numpy().tobytes()
    yield "numpy", np.random.get_state()[1].tobytes()  # noqa: NPY002  the stream that users draw from
    yield "python", random.getstate()
    yield "flags", (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    yield "autocast", (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
    yield "precision", (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.get_num_threads())


def train(
    call: Call | None,
    optimizer: Callable[[Any], torch.optim.Optimizer] = lambda parameters: torch.optim.SGD(parameters, 0.1, 0.9),
    autocast: bool = False,
    steps: int = 5,
    accumulate: int = 1,
    seed: int = 1,
) -> tuple[list[float], dict[str, Any], nn.Module]:
    """Train a network on random batches; return the losses, all that is left, and the network."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    model, (x, y), losses = network(), data(), []
    updates = optimizer(model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=autocast)
    for batch in range(steps * accumulate):
        rows = torch.randperm(SAMPLES)[:24]
        noise = np.random.normal(scale=0.1) + random.gauss(0, 0.1)  # noqa: NPY002
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            loss = nn.functional.cross_entropy(model(x[rows] + noise), y[rows])
        scaler.scale(loss / accumulate).backward()
        losses.append(loss.item())
        if (batch + 1) % accumulate == 0:
            scaler.step(updates)
            scaler.update()
            if call is not None:
                call(model, (batch + 1) // accumulate)
            updates.zero_grad(set_to_none=bool(batch % 2))
    return losses, dict(left_behind(model, updates)), model
