"""Draw K against the rank of J, a point for each checkpoint, shaded by its step."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.against(store, "rank", "scalar_curvature")
sc.plot.save(axes, sys.argv[2])
