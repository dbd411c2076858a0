#!/bin/sh
# Perfect memory, which keeps every transition, on CW20: 20 tasks x 1,000,000 steps.
# Published (Wolczyk et al. 2021, arXiv 2105.10919; Meta-World v1, 20 seeds, 90 % intervals):
# performance 0.14 [0.13, 0.16], forgetting 0.05 [0.04, 0.06], forward transfer -1.37 [-1.46,
# -1.30].
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 9.1 GiB of memory, 355 hours on one CPU thread.
# Every seed more adds 6.2 GiB. Split seeds over processes: --seeds 0..2, --seeds 3..5 and so on;
# each call gets a directory of its own and `clrl table runs --published` joins them.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train perfect-memory --sequence CW20 "$@"
