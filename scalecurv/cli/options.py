"""The arguments that several commands share, their checks, and the options that define the problem."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalecurv.cli.groups import option
from scalecurv.cli.sizes import Bytes, Counts
from scalecurv.display import printable
from scalecurv.errors import Misuse
from scalecurv.quantities import DEVICE, SEED
from scalecurv.user_code import names_code

PATH = click.Path(path_type=Path)
# headings of options in the help
PROBLEM_GROUP, MODEL_GROUP, MEASURES, LABELS = "Problem", "Model and files", "Measures", "Labels"
ARITHMETIC, MACHINE, RUN, OUTPUT = "Arithmetic", "Machine", "Run", "Output"


class _Source(click.ParamType):
    """A path, or user code pkg.mod:name."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        return value if isinstance(value, Path) or names_code(value) else Path(value)


def say(text: str) -> None:
    """Print a line to stderr, for all that is not part of the answer."""
    click.echo(printable(text), err=True)


NO_LONGER = "--allow-global is no longer needed, for no class in a checkpoint is ever used; leave it out"
CHECKPOINTS = click.argument("checkpoints", nargs=-1, type=PATH, metavar="CHECKPOINTS...")
LOSS = (
    option(
        PROBLEM_GROUP,
        "--loss",
        metavar="NAME",
        help="The loss that was trained: mse, cross_entropy, logistic, huber, smooth_l1, l1, poisson, nll, or one of "
        "torch.nn, with arguments as in 'cross_entropy(ignore_index=0)'; or pkg.mod:function, which takes (f, y) and "
        "returns one number for each sample, or several, which are summed.",
    ),
    option(
        PROBLEM_GROUP,
        "--reduction",
        metavar="mean|sum",
        help="The loss is the mean, or the sum, over samples.  [default: the loss's own, else mean]",
    ),
    option(
        PROBLEM_GROUP,
        "--weight-decay",
        type=float,
        metavar="W",
        help="Add W |theta|^2 / 2 to the loss.  [default: 0]",
    ),
)
DATA = (
    option(
        PROBLEM_GROUP,
        "--data",
        type=_Source(),
        metavar="SOURCE",
        help="The data, inputs x and targets y: a file (.npz, .npy, .pt, .safetensors, .h5, .parquet), a directory of "
        "such files, or pkg.mod:factory, which returns arrays, a Dataset or a DataLoader.",
    ),
    option(
        PROBLEM_GROUP,
        "--split",
        metavar="NAME",
        help="Use the split NAME of the data: train, test, ...  [default: the data without a name]",
    ),
    option(
        PROBLEM_GROUP,
        "--max-samples",
        type=int,
        metavar="N",
        help="Take N samples, drawn by --seed, for all data there is: the loss is their mean. --from-samples estimates "
        "numbers of the loss over all data from some.  [default: all]",
    ),
)
MODEL = (
    option(
        MODEL_GROUP,
        "--model",
        metavar="NAME",
        help="Build an MLP from the shapes of the tensors (mlp), or call pkg.mod:factory, which returns a torch "
        "Module.  [default: mlp]",
    ),
    option(
        MODEL_GROUP,
        "--activation",
        metavar="NAME",
        help="The function between the layers of an MLP: relu, leaky_relu, tanh, sigmoid, gelu, silu, softplus, elu or "
        "identity.",
    ),
    option(
        MODEL_GROUP,
        "--weights",
        metavar="KEY",
        help="Take the weights under this key of a checkpoint, such as ema_state_dict or callbacks.EMA.weights.  "
        "[default: the model's, or the only mapping of tensors]",
    ),
    option(
        MODEL_GROUP,
        "--ignore",
        metavar="REGEX",
        help="Leave out the tensors of a checkpoint in whose names REGEX is found, such as '^criterion[.]'.",
    ),
    option(
        MODEL_GROUP,
        "--allow-global",
        multiple=True,
        hidden=True,
        expose_value=False,
        help="Say that this option is no longer needed.",
        callback=lambda ctx, parameter, given: say(NO_LONGER) if given else None,
    ),
)
CHOICE = (
    option(
        MODEL_GROUP,
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Take only checkpoints whose name, folder or path below CHECKPOINTS matches GLOB, such as 'step_*.pt'. "
        "Repeat for more.  [default: all]",
    ),
    option(
        MODEL_GROUP,
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Leave out checkpoints whose name, folder or path below CHECKPOINTS matches GLOB, such as 'swa_*' or "
        "old. Repeat for more.",
    ),
)
PARAMS = option(
    MEASURES,
    "--params",
    metavar="REGEX",
    help="Measure only the block of the parameters whose names match REGEX, such as 'weight$'.  [default: all]",
)
PROBLEM = (
    "data",
    "split",
    "max_samples",
    "loss",
    "reduction",
    "weight_decay",
    "model",
    "activation",
    "weights",
    "ignore",
)


def seed_option(help: str) -> Callable[[Any], Any]:
    """Return the option --seed, with a help text that says which random numbers it draws."""
    return option(ARITHMETIC, "--seed", type=int, metavar="N", default=SEED, show_default=True, help=help)


def memory_option(help: str) -> Callable[[Any], Any]:
    """Return the option --memory, with a help text that says which bytes it limits."""
    text = f"{help} 2G and 2GB are 2e9 bytes, 2GiB is 2^31.  [default: a quarter of the machine's memory]"
    return option(ARITHMETIC, "--memory", type=Bytes(), metavar="SIZE", help=text)


RANK_SAMPLES = option(
    MEASURES,
    "--rank-samples",
    type=int,
    metavar="N",
    help="Take the rank of an MLP from N samples, drawn from the seed.  [default: all, or as many as the work of a "
    "few gradients allows where N D > 20,000]",
)
FROM_SAMPLES = option(
    MEASURES,
    "--from-samples",
    type=int,
    metavar="N",
    help="Estimate trace_h2, curvature, extremes and the rank of an MLP from N samples. They are still numbers of the "
    "loss over all data, and their intervals hold the error of sampling.  [default: from all samples]",
)
SHARPNESS = (
    option(
        MEASURES,
        "--radius",
        type=float,
        metavar="R",
        help="Let sharpness look for steps of length R, in units of theta, that raise the loss.  [default: 0.05]",
    ),
    option(
        MEASURES,
        "--sigma",
        type=float,
        metavar="S",
        help="Let sharpness average over steps of S in each coordinate, in units of theta.  [default: 0.001]",
    ),
    option(
        MEASURES,
        "--sgd-batches",
        type=Counts(),
        metavar="N,N,...",
        help="Let sgd take mini-batches of these sizes.  [default: 1,4,16,64,256, those that the data has]",
    ),
)
ONE_DEVICE = option(
    ARITHMETIC,
    "--device",
    default=DEVICE,
    show_default=True,
    metavar="cpu|cuda",
    help="Compute on the CPU or on a GPU.",
)


def taking(*options: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a command these arguments and options, in this order."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorate in reversed(options):
            command = decorate(command)
        return command

    return decorated


def given_options(params: dict[str, Any]) -> dict[str, Any]:
    """Return the options that define the problem, by the names of ProblemSpec, None for those that were not given."""
    return {name: params.get(name) for name in PROBLEM}


def check_memory(memory: int | None) -> None:
    """Raise Misuse where `memory` is given and not positive."""
    if memory is not None and memory < 1:
        raise Misuse(f"--memory is {memory}; it must be at least 1")


def check_seed(seed: int) -> None:
    """Raise Misuse where no random generator takes `seed`."""
    if not 0 <= seed < 2**63:
        raise Misuse(f"--seed is {seed}; it must be from 0 to 2^63 - 1")
