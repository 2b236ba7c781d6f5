"""Draw how much of the rank of J is visible at a finite precision.

The rank stays while the singular values below 1e-3 of the largest fade: quote both.
"""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.rank_profile(store, where="lr = 0.2")
sc.plot.save(axes, sys.argv[2])
