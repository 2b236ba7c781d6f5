"""The traces of H and of H^2: exact, or sampled after deflation."""
