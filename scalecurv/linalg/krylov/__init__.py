"""Lanczos runs of a symmetric operator, and what they certify."""
