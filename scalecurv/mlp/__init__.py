"""Closed forms for an MLP: products, and, for piecewise-linear activations, traces, norms and patterns."""
