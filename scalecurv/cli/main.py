"""The program `scalecurv`: its commands, and the exit codes that they share."""

import traceback
from typing import Any

import click

from scalecurv import __version__
from scalecurv.cli.analyze import analyze
from scalecurv.cli.options import say
from scalecurv.cli.planes import planes
from scalecurv.cli.rank import rank
from scalecurv.cli.store import STORE_COMMANDS
from scalecurv.cli.submit import submit
from scalecurv.errors import BUG, INTERRUPTED, CheckpointError, ClusterError, Misuse, StoreError


class _Commands(click.Group):
    """A group whose commands share their exit codes; misuse is one line on stderr."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Misuse, StoreError, CheckpointError, ClusterError) as error:
            say(f"scalecurv: {error}")
            ctx.exit(error.exit_code)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            say("scalecurv: interrupted; what was finished is stored, and the same command goes on from there")
            ctx.exit(INTERRUPTED)
        except Exception:  # printed whole, with an exit code of its own
            traceback.print_exc()
            say("scalecurv: this is a bug, please report it; what was finished is stored")
            ctx.exit(BUG)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="scalecurv")
def main() -> None:
    """Measure how flat the loss is at every checkpoint, and in how many directions."""


for command in (analyze, submit, rank, planes, *STORE_COMMANDS):
    main.add_command(command)
