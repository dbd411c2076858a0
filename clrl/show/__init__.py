"""How runs are shown: plots, the log, Weights & Biases."""
