#!/bin/sh
# MAS (Aljundi et al. 2018, arXiv 1711.09601) on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.51 [0.49, 0.53], forgetting 0.00 [-0.01, 0.02], forward transfer -0.52 [-0.58,
# -0.48].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.2 GiB of memory, 123 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train mas --sequence CW20 "$@"
