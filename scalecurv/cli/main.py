"""The program `scalecurv`: its commands, and the exit codes that they share."""

import traceback
from typing import Any

import click

from scalecurv import __version__
from scalecurv.cli.analyze import analyze
from scalecurv.cli.export import export
from scalecurv.cli.groups import Commands
from scalecurv.cli.options import say
from scalecurv.cli.planes import planes
from scalecurv.cli.rank import rank
from scalecurv.cli.report import report
from scalecurv.cli.store import STORE_COMMANDS
from scalecurv.cli.submit import submit
from scalecurv.cli.watch import watch
from scalecurv.errors import BUG, INTERRUPTED, MISUSE, CheckpointError, ClusterError, Misuse, StoreError

# packages that an installation may lack: what a command then needs, and what to install
INSTALL = {
    **dict.fromkeys(("torch", "ray", "scipy", "safetensors"), ("torch and ray", "scalecurv")),
    **{name: (name, name) for name in ("matplotlib", "plotly", "jinja2", "rich")},
}
WIDTH = 100  # characters of a line of help, at most; a terminal of 80 gets 80


class _Program(Commands):
    """The commands, which share their exit codes; misuse is one line on stderr."""

    sections = {
        "Analyse": ("analyze", "submit", "rank", "planes"),
        "Read": ("query", "show", "plot", "report", "watch", "export"),
        "Keep": ("verify", "compact", "forget"),
    }

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Misuse, StoreError, CheckpointError, ClusterError) as error:
            say(f"scalecurv: {error}")
            ctx.exit(error.exit_code)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except ModuleNotFoundError as error:
            lacked = INSTALL.get((error.name or "").partition(".")[0])
            if lacked is None:
                _tell_bug()
                ctx.exit(BUG)
            needed, package = lacked
            say(f"scalecurv: {ctx.invoked_subcommand} needs {needed}; run `pip install {package}` ({error})")
            ctx.exit(MISUSE)
        except KeyboardInterrupt:
            say("scalecurv: interrupted; what was finished is stored, and the same command goes on from there")
            ctx.exit(INTERRUPTED)
        except Exception:  # printed whole, with an exit code of its own
            _tell_bug()
            ctx.exit(BUG)


def _tell_bug() -> None:
    """Print the exception that is being handled, whole, and ask for a report."""
    traceback.print_exc()
    say("scalecurv: this is a bug, please report it; what was finished is stored")


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH})
@click.version_option(__version__, prog_name="scalecurv")
def main() -> None:
    """Measure how flat the loss is at every checkpoint, and in how many directions.

    `scalecurv COMMAND --help` describes a command.
    """


for command in (analyze, submit, rank, planes, report, export, watch, *STORE_COMMANDS):
    main.add_command(command)
