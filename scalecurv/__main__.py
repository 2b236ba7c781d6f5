"""`python -m scalecurv`: the command line, for whoever must name the interpreter."""

from scalecurv.cli import main

main(prog_name="scalecurv")
