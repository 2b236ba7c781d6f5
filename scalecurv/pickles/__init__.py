"""Readers of untrusted pickles: they keep tensors, numbers, text and containers, and run nothing."""
