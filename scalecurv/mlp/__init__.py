"""What is exact because a network is an MLP of piecewise-linear activations."""
