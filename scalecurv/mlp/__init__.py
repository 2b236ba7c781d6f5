"""What has a closed form for an MLP: products, and, for piecewise-linear activations, traces, norms and patterns."""
