"""Published numbers, shipped with the package and read by `clrl.published`."""
