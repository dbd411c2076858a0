#!/bin/sh
# A reference run for forward transfer: SAC on one task alone, 1,000,000 steps
# (Wolczyk et al. 2021, arXiv 2105.10919). What it costs: scripts/single_task.sh TASK --dry-run
# More flags go to `clrl train`, for example --seeds 0..4.
set -eu
if [ $# -lt 1 ]; then
    echo "usage: scripts/single_task.sh TASK [--dry-run] [flags of clrl train]" >&2
    exit 78
fi
task=$1
shift
exec "$(dirname "$0")/clrl.sh" train finetuning --sequence "$task" "$@"
