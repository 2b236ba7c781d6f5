"""Draw the trace of the Hessian of each layer at each checkpoint."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.layers(store, "trace")
sc.plot.save(axes, sys.argv[2])
