"""The entry point for `ray job submit`: the arguments of `scalecurv analyze`, with absolute paths."""

import sys

from scalecurv.__main__ import run

run(["analyze", *sys.argv[1:]])
