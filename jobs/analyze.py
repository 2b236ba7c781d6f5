"""The door for `ray job submit`: the arguments of `scalecurv analyze`, with absolute paths."""

import sys

from scalecurv.cli import main

main(["analyze", *sys.argv[1:]], prog_name="scalecurv")
