"""Published numbers, shipped with the package and read by `clrl.results.published`."""
