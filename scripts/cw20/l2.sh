#!/bin/sh
# L2, a pull to the last task's weights (as in arXiv 2105.10919), on CW20: 20 tasks x 1,000,000
# steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.43 [0.39, 0.47], forgetting 0.02 [0.00, 0.03], forward transfer -0.75 [-0.87,
# -0.65].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.2 GiB of memory, 122 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train l2 --sequence CW20 "$@"
