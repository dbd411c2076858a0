#!/bin/sh
# Cloning of old policies (Wolczyk et al. 2022, arXiv 2209.13900) on CW20: 20 tasks x 1,000,000
# steps.
# Not in the published table.
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.3 GiB of memory, 166 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train cloning --sequence CW20 "$@"
