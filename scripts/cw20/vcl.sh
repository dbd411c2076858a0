#!/bin/sh
# VCL (Nguyen et al. 2018, arXiv 1710.10628) on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.48 [0.46, 0.50], forgetting 0.01 [-0.01, 0.02], forward transfer -0.48 [-0.56,
# -0.42].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.2 GiB of memory, 198 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train vcl --sequence CW20 "$@"
