"""Draw the spectral density of the Hessian at each checkpoint of one run, the first one at the top."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.spectrum(store, run="lr0.1_seed0", kind="ridge")
sc.plot.save(axes, sys.argv[2])
