"""One row of the CW20 table; started by row.sh."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from clrl import errors
from clrl.agents.methods import method_class
from clrl.config.names import sequence_name
from clrl.envs.metaworld.tasks import SEQUENCES

HERE = Path(__file__).parent
TEXT = """\
usage: scripts/cw20/row.sh METHOD [--dry-run] [flags of clrl train]

Trains one row of the CW20 table with the published settings: 20 tasks x 1,000,000 steps, and where
a method's tasks take turns each of the ten once (CW10). --dry-run prints settings and costs, and
`clrl table --published` the published numbers beside ours. More flags go to `clrl train`, for
example --seeds 0..4. The same command again continues a run.
"""


def command(words: Sequence[str]) -> list[str]:
    """Return the words of `clrl` for a method and more flags.

    Raises:
        ValueError: there is no such method.
    """
    method, *flags = words
    tasks = SEQUENCES["CW20"]
    once = tuple(dict.fromkeys(tasks))
    sequence = sequence_name(once if method_class(method).interleaved else tasks)
    return ["train", method, "--sequence", sequence, *flags]


def main(words: Sequence[str]) -> int:
    """Become `clrl`; return an exit code where there is nothing to run."""
    if not words or words[0] in ("-h", "--help"):
        print(TEXT, end="", file=sys.stdout if words else sys.stderr)
        return errors.OK if words else errors.CONFIG
    script = str(HERE / "../clrl.sh")
    try:
        os.execv(script, [script, *command(words)])
    except ValueError as error:
        print(f"row.sh: {error}", file=sys.stderr)
        return errors.CONFIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
