#!/bin/sh
# One row of the CW20 table (Wolczyk et al. 2021, arXiv 2105.10919) at the paper's budget.
# usage: scripts/cw20/row.sh METHOD [--dry-run] [flags of clrl train]
python=$(dirname "$0")/../../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$(dirname "$0")/row.py" "$@"
