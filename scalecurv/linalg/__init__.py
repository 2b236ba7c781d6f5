"""Numerics on a LinearOperator: nothing here knows a network, a file or a cluster."""
