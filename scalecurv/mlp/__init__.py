"""Exact results for MLPs of piecewise-linear activations: layers, traces, block norms, activation patterns."""
