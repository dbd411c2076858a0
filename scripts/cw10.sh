#!/bin/sh
# Continual World's CW10 with one method at the paper's budget: 10 tasks x 1,000,000 steps
# (Wolczyk et al. 2021, arXiv 2105.10919). What it costs: scripts/cw10.sh METHOD --dry-run
# More flags go to `clrl train`, for example --seeds 0..4 --evaluate economical.
set -eu
if [ $# -lt 1 ]; then
    echo "usage: scripts/cw10.sh METHOD [--dry-run] [flags of clrl train]" >&2
    exit 78
fi
method=$1
shift
exec "$(dirname "$0")/clrl.sh" train "$method" --sequence CW10 "$@"
