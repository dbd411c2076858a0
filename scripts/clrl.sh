#!/bin/sh
# The installed clrl; that of this checkout's .venv where none is activated.
command -v clrl >/dev/null || PATH=$(dirname "$0")/../.venv/bin:$PATH
exec clrl "$@"
