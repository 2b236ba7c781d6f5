"""The losses that are known by name, and those of torch and of users: one file a family."""

from scalecurv.problem.losses.entries import WEIGHTED_SQUARES
from scalecurv.problem.losses.named import LOSSES, check_loss_name, loss_of

__all__ = ["LOSSES", "WEIGHTED_SQUARES", "check_loss_name", "loss_of"]
