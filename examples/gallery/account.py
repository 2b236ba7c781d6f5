"""Account for all parameters of each checkpoint: P = rank + unexplained + data-limited + rescaling + dead."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.account(store)
sc.plot.save(axes, sys.argv[2])
