"""`scalecurv plot`: its options, which picture takes which of them, and what it says that it wrote."""

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import click

from scalecurv.cli.groups import Command, option
from scalecurv.cli.options import OUTPUT, PATH, say
from scalecurv.errors import Misuse

PICTURES = ("trajectories", "compare", "spectrum", "account", "rank-profile", "chain", "layers", "against")
SHOWN, ROWS, LOOKS = "Shown", "Rows", "Looks"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?:({_NUMBER})?")
_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)[x,](\d+\.?\d*|\.\d+)")


class _Range(click.ParamType):
    """Two ends of an axis as LOW:HIGH, either of which may be left out."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = None if isinstance(value, tuple) else _RANGE.fullmatch(value)
        if match is None and not isinstance(value, tuple):
            self.fail(f"{value!r} is no range; give LOW:HIGH, such as 0:2, or 0: for one end", param, ctx)
        return value if match is None else tuple(None if end is None else float(end) for end in match.groups())


class _Inches(click.ParamType):
    """Width and height in inches as 7x4."""

    name = "inches"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = None if isinstance(value, tuple) else _SIZE.fullmatch(value)
        if match is None and not isinstance(value, tuple):
            self.fail(f"{value!r} is no size; give WIDTHxHEIGHT in inches, such as 7x4", param, ctx)
        return value if match is None else tuple(float(side) for side in match.groups())


@click.command(cls=Command)
@click.argument("store", type=PATH)
@click.argument("picture", type=PATH)
@option(
    SHOWN,
    "--what",
    type=click.Choice(PICTURES),
    default=PICTURES[0],
    show_default=True,
    metavar="NAME",
    help=f"Draw {', '.join(PICTURES[:-1])} or {PICTURES[-1]}.",
)
@option(
    SHOWN,
    "-q",
    "--quantity",
    multiple=True,
    metavar="NAME|EXPRESSION",
    help="Draw this quantity, or SQL over the columns of results such as 'lambda_max * lr / 2', with its interval; "
    "'EXPRESSION as \"WORDS\"' names the axis. Repeat for more.  [default: those of loss, trace, lambda_max, "
    "scalar_curvature and rank that are there]",
)
@option(SHOWN, "--line", multiple=True, metavar="HEIGHT[=WORDS]", help="Draw a horizontal line. Repeat for more.")
@option(
    SHOWN, "--at", metavar="WHERE", help="Compare runs at the last common step (last), at 'equal loss' or at a step."
)
@option(SHOWN, "--kind", metavar="KIND", help="Draw the spectra in this way: ridge, heat or single.")
@option(ROWS, "--where", metavar="SQL", help="Take the rows of results that meet this condition, such as 'step > 100'.")
@option(ROWS, "--run", multiple=True, metavar="RUN", help="Take this run, by its path or name. Repeat for more.")
@option(ROWS, "--step", multiple=True, metavar="STEP", help="Take this step. Repeat where several are drawn.")
@option(LOOKS, "--by", metavar="ATTRIBUTE", help="Make a panel, or a group of --what compare, for each value.")
@option(
    LOOKS,
    "--color",
    metavar="ATTRIBUTE",
    help="Colour by this attribute of runs, such as lr.  [default: by what tells them apart]",
)
@option(LOOKS, "--style", metavar="ATTRIBUTE", help="Give dashes by this attribute of runs, such as run_seed.")
@option(
    LOOKS, "--band", "intervals", flag_value="band", help="Draw intervals as bands.  [default: where points are many]"
)
@option(
    LOOKS, "--bars", "intervals", flag_value="bars", help="Draw intervals as bars.  [default: where points are few]"
)
@option(LOOKS, "--no-intervals", "intervals", flag_value="none", help="Draw no intervals.")
@option(
    LOOKS, "--xscale", metavar="SCALE", help="Use this scale of steps: linear, log or symlog.  [default: by the data]"
)
@option(LOOKS, "--yscale", metavar="SCALE", help="Use this scale: linear, log or symlog.  [default: by the data]")
@option(LOOKS, "--xlim", type=_Range(), metavar="LOW:HIGH", help="Show these steps.")
@option(LOOKS, "--ylim", type=_Range(), metavar="LOW:HIGH", help="Show these values.")
@option(LOOKS, "--title", metavar="TEXT", help="Write this above the picture; $...$ is a formula.")
@option(
    LOOKS, "--size", type=_Inches(), metavar="WxH", help="Make the picture so many inches wide and high, such as 7x4."
)
@option(LOOKS, "--font-size", type=float, metavar="POINTS", help="Write in this size.  [default: 9]")
@option(LOOKS, "--style-sheet", metavar="FILE", help="Use settings of Matplotlib before ours, from a file or by name.")
@option(OUTPUT, "--dpi", type=float, metavar="DPI", help="Give a png so many dots per inch.  [default: 200]")
@click.pass_context
def plot(ctx: click.Context, store: Path, picture: Path, what: str, dpi: float | None, **given: Any) -> None:
    """Draw what STORE holds into PICTURE (.png, .pdf, .svg): over training steps, unless --what says otherwise.

    Example: scalecurv plot results curvature.png

    Example: scalecurv plot results edge.pdf --quantity 'lambda_max * 0.1 / 2' --color run --line 1 --band

    Example: scalecurv plot results runs.png --what compare --quantity trace --by run
    """
    from scalecurv import plot as pictures
    from scalecurv.plot.saving import checked_file, figure_to_save, save
    from scalecurv.results.query import open_store

    checked_file(picture)
    draw = getattr(pictures, what.replace("-", "_"))
    names = {str(param.name): param.opts[-1] for param in ctx.command.params} | {"intervals": "--band, --bars"}
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    options = _arguments(what, draw, chosen, names)
    opened = open_store(store)
    for reason in opened.broken.values():
        say(f"left out: {reason}")
    figure = figure_to_save(draw(opened, **options))
    save(figure, picture, dpi=dpi)
    click.echo(wrote(picture, figure))


def _arguments(what: str, draw: Callable[..., Any], chosen: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of a picture; raises Misuse for options that it does not take, by their names."""
    takes = set(signature(draw).parameters) - {"source", "ax"}
    found: dict[str, Any] = {}
    foreign: list[str] = []
    for name, value in chosen.items():
        target = _TARGETS.get(name, (name,))
        wanted = next((one for one in target if one in takes), None)
        if wanted is None:
            foreign.append(name)
        elif name == "quantity":
            found |= _quantities(what, wanted, value)
        else:
            found[wanted] = _value(wanted, names[name], value)
    if foreign:
        taken = [names[name] for name in names if any(one in takes for one in _TARGETS.get(name, (name,)))]
        listed = ", ".join(names[name] for name in names if name in foreign)
        verb = "is" if len(foreign) == 1 else "are"
        raise Misuse(f"{listed} {verb} not for --what {what}, which takes {', '.join(taken)}; leave out the others")
    return found


_TARGETS = {"quantity": ("quantities", "quantity", "x"), "line": ("lines",), "step": ("steps", "step")}


def _quantities(what: str, wanted: str, value: tuple[str, ...]) -> dict[str, Any]:
    """Return --quantity as the argument of a picture: several, one, or those of both axes."""
    if wanted == "quantities":
        return {wanted: value}
    if wanted == "x":
        if len(value) != 2:
            raise Misuse(f"--what {what} takes two --quantity, for x and for y; {len(value)} came")
        return {"x": value[0], "y": value[1]}
    if len(value) != 1:
        raise Misuse(f"--what {what} takes one --quantity; {len(value)} came")
    return {wanted: value[0]}


def _value(wanted: str, name: str, value: Any) -> Any:
    """Return the value of an option as its picture takes it."""
    if wanted == "lines":
        return dict(_line(text) for text in value)
    if wanted == "at":
        return int(value) if re.fullmatch(r"\d+", value) else value
    if wanted in ("step", "steps"):
        steps = [int(text) if re.fullmatch(r"\d+", text) else text for text in value]
        if wanted == "step" and len(steps) > 1:
            raise Misuse(f"{name} is given {len(steps)} times, and one is drawn; give one")
        return steps if wanted == "steps" else steps[0]
    return list(value) if isinstance(value, tuple) and wanted == "run" else value


def _line(text: str) -> tuple[float, str]:
    height, _, words = text.partition("=")
    if not re.fullmatch(_NUMBER, height.strip()):
        raise Misuse(f"--line is {text!r}; give a height, with words for the legend if you like: 1, or '1=edge'")
    return float(height), words.strip()


def wrote(picture: Path, figure: Any) -> str:
    """Return the line on what was written: panels, runs, checkpoints, and what could not be shown."""
    from scalecurv.plot.canvas import content, remarks

    found, said = content(figure), remarks(figure)
    counts = ""
    if found is not None:
        numbers = {"panel": found.panels, "run": found.runs, "checkpoint": found.checkpoints}
        counts = ", ".join(f"{count:,} {name}{'s' * (count != 1)}" for name, count in numbers.items() if count)
    return f"wrote {picture}: {counts}".removesuffix(": ") + "".join(f"; {text}" for text in said)
