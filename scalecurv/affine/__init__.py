"""The parameter tensors in which the outputs of a network are affine, and the traces that are exact there."""
