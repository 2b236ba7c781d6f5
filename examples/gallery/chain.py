"""Draw every link of the chain of bounds on K at the end of one run, where the data is fitted exactly."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.chain(store, step="last", run="lr0.1_seed0")
sc.plot.save(axes, sys.argv[2])
