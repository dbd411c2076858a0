#!/bin/sh
# A-GEM (Chaudhry et al. 2019, arXiv 1812.00420) on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.07 [0.07, 0.08], forgetting 0.72 [0.71, 0.74], forward transfer 0.17 [0.13, 0.20].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.3 GiB of memory, 230 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train agem --sequence CW20 "$@"
