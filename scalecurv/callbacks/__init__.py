"""Curvature while a model trains: for Lightning, for Hugging Face, and for loops of one's own."""
