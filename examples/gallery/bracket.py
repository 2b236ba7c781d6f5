"""Draw K within its bracket along training; markers tell where the chain of bounds applies."""

import sys

import scalecurv as sc

store = sc.open_store(sys.argv[1])
axes = sc.plot.chain(store)
sc.plot.save(axes, sys.argv[2])
