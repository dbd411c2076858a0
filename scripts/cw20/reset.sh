#!/bin/sh
# A fresh agent for every task, which transfers nothing and forgets everything, on CW20: 20 tasks x
# 1,000,000 steps.
# Not in the published table.
# Cost per seed, estimated by --dry-run on a server's core: 20,000,000 steps, 19,980,000 updates,
# 44,000,000 steps of evaluation, 3.2 GiB of memory, 112 hours on one CPU thread.
# More flags go to `clrl train`, for example --seeds 0..4; the same command again continues.
exec "$(dirname "$0")/../clrl.sh" train reset --sequence CW20 "$@"
