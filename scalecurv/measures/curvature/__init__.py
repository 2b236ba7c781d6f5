"""The scalar curvature of the graph of the loss, and the bounds on it."""
