#!/bin/sh
# PackNet (Mallya & Lazebnik 2018, arXiv 1711.05769) on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.80 [0.79, 0.82], forgetting 0.00 [-0.01, 0.01], forward transfer 0.18 [0.14, 0.21].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 21,880,000 updates,
# 44,000,000 steps of evaluation, 3.2 GiB of memory, 123 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train packnet --sequence CW20 "$@"
