"""Draw lambda_max eta / 2 of four runs: gradient descent loses stability above 1, and hovers there (Cohen et al. 2021).

The interval of the expression is its range while lambda_max moves through its own interval.
"""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.trajectories(
    store, "lambda_max * lr / 2", color="lr", style="run_seed", intervals="band", lines={1.0: "edge of stability"}
)
sc.plot.save(axes, sys.argv[2])
