"""Principal and sectional curvatures of the graph of the loss."""
