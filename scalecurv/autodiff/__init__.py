"""First and second derivatives, by torch.func or by plain autograd."""
