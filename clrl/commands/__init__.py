"""The commands of `clrl`, one file each."""
