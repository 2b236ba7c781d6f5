"""Numerical algorithms on a LinearOperator; no module here knows a network, a file or a cluster."""
