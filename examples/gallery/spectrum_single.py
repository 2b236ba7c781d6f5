"""Draw one spectral density with its errors: over the random starts, and of the truncation.

A width below the default shows more, and the bound on the truncation grows.
"""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.spectrum(store, run="lr0.1_seed0", steps="last", sigma=0.5)
sc.plot.save(axes, sys.argv[2])
