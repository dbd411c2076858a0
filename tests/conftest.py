"""One thread: the networks here are far too small for two."""

import torch

torch.set_num_threads(1)
