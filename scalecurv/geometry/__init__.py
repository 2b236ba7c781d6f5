"""What the numbers mean: the geometry of the graph of the loss, in NumPy."""
