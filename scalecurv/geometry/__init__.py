"""The geometry of the graph of the loss, in NumPy: curvatures, their bounds, and ratios of them."""
