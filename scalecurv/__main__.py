"""The program: the command line, and a quick way out."""

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from scalecurv.cli.main import main


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code."""
    code: Any = 0
    try:
        main(arguments, prog_name="scalecurv")
    except SystemExit as ended:
        code = ended.code
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Python would free what torch loaded one by one: seconds, in which nothing listens to Ctrl-C
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    run()
