"""The parameter tensors in which a network's outputs are affine, and the traces that are exact there, for any module."""
