"""From a configuration to a run directory: the protocol, the loop, and what is on the disk."""
