#!/bin/sh
# EWC (Kirkpatrick et al. 2017, arXiv 1612.00796) on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.60 [0.56, 0.64], forgetting 0.02 [0.00, 0.05], forward transfer -0.19 [-0.25,
# -0.14].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.2 GiB of memory, 123 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train ewc --sequence CW20 "$@"
