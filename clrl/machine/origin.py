"""Where a run comes from: when it started, by which command, of which version of this program."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, if the package is used from one."""


def origin(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Return date, command and version of what starts now, for `run.json`.

    Args:
        words: the command line; by default that of this process.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    command = without_out(sys.argv if words is None else words)
    return {"started": now, "command": command, "commit": commit(ROOT)}


def without_out(words: Sequence[str]) -> list[str]:
    """Return a command line without its directories: neither the program's nor `--out`'s."""
    kept = [Path(word).name for word in words[:1]]
    skip = False
    for word in words[1:]:
        if not skip and not word.startswith("--out="):
            kept += [word] if word != "--out" else []
        skip = word == "--out" and not skip
    return kept


def commit(root: Path) -> dict[str, Any] | None:
    """Return {"hash", "dirty"} of a git checkout, None if a folder is none.

    Dirty is one whose tracked files were changed.
    """
    if not (root / ".git").exists():  # an installed package may lie inside another's checkout
        return None
    try:
        found = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"hash": found, "dirty": bool(changed)}


def _git(root: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
