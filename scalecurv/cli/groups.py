"""Help in groups: options by what they are about, commands by what they do."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from scalecurv.errors import MissingOptions, Misuse

OTHER = "Options"  # the group of --help, and of options without a group
COLUMN = 24  # characters of the names of options; the help of longer ones begins on a line of its own
SENTENCE = 200  # characters of the first sentence on a command, which the help of the program shows whole
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Option(click.Option):
    """An option that the help lists under the heading `group`."""

    def __init__(self, *names: Any, group: str = OTHER, **settings: Any):
        super().__init__(*names, **settings)
        self.group = group


def option(group: str, *names: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    """Return the decorator of click.option for an option of the group `group`."""
    return click.option(*names, cls=settings.pop("cls", Option), group=group, **settings)


class Command(click.Command):
    """A command whose help lists its options by group, in the order in which the groups first appear."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(parameter, "group", OTHER), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=COLUMN)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where options are missing, the error ends in a whole command line that has them."""
        try:
            return super().invoke(ctx)
        except MissingOptions as error:
            options, positional = given_words(ctx, str)
            wanted = [word for name, value in error.examples.items() for word in (f"--{name}", value)]
            if any(word.startswith("-") for word in positional):
                positional.insert(0, "--")
            line = shlex.join([*ctx.command_path.split(), *options, *wanted, *positional])
            raise Misuse(f"{error}; for example: {line}") from error


def given_words(
    ctx: click.Context, shown: Callable[[Path], object], leave_out: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Return the options, and the arguments, that the command line holds, each path as `shown` gives it."""
    options: list[str] = []
    positional: list[str] = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in ctx.params or name in leave_out:  # an option that says something only has no value
            continue
        if ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        several = value if isinstance(value, tuple) else (value,)
        values = [str(shown(v) if isinstance(v, Path) else v) for v in several]
        if isinstance(parameter, click.Argument):
            positional += values
        elif isinstance(parameter, click.Option):
            options += _words(parameter, value, values)
    return options, positional


def _words(option: click.Option, value: Any, values: Sequence[str]) -> list[str]:
    """Return an option as words of the command line."""
    if option.count:
        return [option.opts[-1]] * int(value)
    if option.is_flag:
        return [option.opts[-1] if value else option.secondary_opts[-1]]
    return [word for text in values for word in (option.opts[-1], text)]


class Commands(click.Group):
    """A group whose help lists its commands under the headings of `sections`, a heading -> names of commands."""

    sections: Mapping[str, Sequence[str]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, names in self.sections.items():
            with formatter.section(heading):
                shown = [(name, self.commands[name]) for name in names if name in self.commands]
                formatter.write_dl([(name, command.get_short_help_str(SENTENCE)) for name, command in shown])
