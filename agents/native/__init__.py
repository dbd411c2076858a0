"""The update without autograd: compiled code for losses and gradients, and what decides on it."""
