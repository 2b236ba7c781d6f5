"""The text of docs/cli.md: the help of every command, as a terminal of 80 columns shows it."""

import click

from scalecurv.cli.main import main

WIDTH = 80  # click leaves two of them empty
HEAD = """# The command line

This page is generated from the program by `make docs`.

| exit code | meaning |
|---|---|
| 0 | all is done |
| 1 | a checkpoint failed, or a file is broken; everything else is done and stored |
| 2 | the request cannot be carried out: one line says what came, what was wanted and what to do |
| 3 | a bug of scalecurv; what was finished is stored |
| 130 | Ctrl-C; what was finished is stored |

- **`--follow`** ends by `--patience` or by Ctrl-C (130). The last look at each file counts: the exit code is 1 where a
  checkpoint failed and was not written anew, and 2 where no checkpoint came at all.
- **Answers** go to stdout. **Messages** go to stderr. On a terminal `analyze` shows a bar with the time that is left.
  In a pipe or a job it prints a line for each stored checkpoint: date, time, count, status, path, seconds and the
  time that is left. `-v` adds the seconds of each measure and the reason for the engine; `-q` leaves errors only. One
  `-q` takes back one `-v`. Programs get the same lines from the logger `scalecurv` of Python's `logging`.
- **Sizes** (`--memory`) are bytes, or a number with K, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (powers of 1024), in
  any case and with a B or without: `2G`, `"1.5 GiB"`, `500mb`.
- **The environment.** `OMP_NUM_THREADS` is the default of `--threads` on the serial engine; without it one thread or
  all are taken, whichever is faster. `RAY_ADDRESS` is the default of `--address`.
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, _block("scalecurv", main)]
    for heading, names in main.sections.items():
        parts.append(f"## {heading}\n")
        for name in filter(main.commands.__contains__, names):
            parts += [f"### {name}\n", _block(f"scalecurv {name}", main.commands[name])]
    return "\n".join(parts)


def _block(path: str, command: click.Command) -> str:
    """Return the help of a command; `resilient_parsing` leaves out what depends on the machine."""
    settings = {**main.context_settings, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path, terminal_width=WIDTH - 2, resilient_parsing=True, **settings)
    return f"```text\n$ {path} --help\n{command.get_help(context)}\n```\n"
