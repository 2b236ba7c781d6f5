"""Draw trace, largest eigenvalue, K and rank of four runs, each number with its interval.

Colours are learning rates and dashes are seeds, which is what differs between the runs.
"""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.trajectories(store, ["trace", "lambda_max", "scalar_curvature", "rank"])
sc.plot.save(axes, sys.argv[2])
