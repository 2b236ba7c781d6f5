"""Compare the trace of all runs at their last checkpoints: a point for each seed, a group for each learning rate."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.compare(store, "trace", by="lr")
sc.plot.save(axes, sys.argv[2])
