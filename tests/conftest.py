"""What every test rests on: one thread, so that times and rounding repeat."""

import torch

torch.set_num_threads(1)
