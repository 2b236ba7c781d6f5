"""Lanczos runs of a symmetric operator, and the certificates that follow from them."""
