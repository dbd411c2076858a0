#!/bin/sh
# The references of forward transfer: every task of CW10 alone, 1,000,000 steps each, one task after
# the other. The paper has 100 seeds of each (Wolczyk et al. 2021, arXiv 2105.10919).
# What one task costs: scripts/single_task.sh TASK --dry-run
# More flags go to every `clrl train`, for example --seeds 0..9, but not --out: each task gets a
# directory of its own (scripts/single_task.sh TASK --out DIR chooses it). The same command again
# continues.
set -eu
for task in hammer-v3 push-wall-v3 faucet-close-v3 push-back-v3 stick-pull-v3 \
    handle-press-side-v3 push-v3 shelf-place-v3 window-close-v3 peg-unplug-side-v3; do
    "$(dirname "$0")/../single_task.sh" "$task" "$@"
done
