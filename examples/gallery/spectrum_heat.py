"""Draw the spectral density of two runs as heat maps, between the certified ends of the spectrum."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.spectrum(store, run=["lr0.1_seed0", "lr0.2_seed0"], kind="heat")
sc.plot.save(axes, sys.argv[2])
