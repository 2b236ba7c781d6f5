"""Checkpoint files read as tensors, and the Task that makes Problems of them."""
