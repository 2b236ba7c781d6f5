"""Numerics on linear operators: it knows no network, no file and no cluster."""

from scalecurv.linalg import algebra as algebra  # operators are added and multiplied from the first import on
