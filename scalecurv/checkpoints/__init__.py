"""Files as tensors, and the Task that turns them into Problems."""
