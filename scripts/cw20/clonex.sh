#!/bin/sh
# ClonEx-SAC (Wolczyk et al. 2022, arXiv 2209.13900) on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2022, arXiv 2209.13900; Meta-World v1): performance 0.87, forward
# transfer 0.54.
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.3 GiB of memory, 168 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train clonex --sequence CW20 "$@"
