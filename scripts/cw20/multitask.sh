#!/bin/sh
# Multi-task SAC, an upper mark, on CW10: 10,000,000 steps, a task's episode at a time.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.50 [0.47, 0.54].
# Cost per seed, estimated by --dry-run on a server's core: 10,000,000 steps, 9,999,000 updates,
# 11,000,000 steps of evaluation, 3.5 GiB of memory, 56 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train multitask --sequence CW10 "$@"
