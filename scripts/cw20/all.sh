#!/bin/sh
# Every row of the CW20 table at a chosen scale, then our table beside the published one.
# usage: scripts/cw20/all.sh --help
python=$(dirname "$0")/../../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$(dirname "$0")/all.py" "$@"
