"""Pickles that nobody trusts, read as data: tensors, numbers, text and containers are kept, and nothing is called."""
