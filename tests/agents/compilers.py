"""C compilers of every kind, and a source that takes no time to compile."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from clrl.agents.native import library
from clrl.agents.native.path import unavailable

needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc")), reason="needs a C compiler"
)
needs_native = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

SMALL_SOURCE = """
#define EXPORT __attribute__((visibility("default")))
EXPORT const char *key(void) { return KEY; }
EXPORT long network_scratch(void *call) { return 1; }
EXPORT long importance_scratch(void *call) { return 1; }
EXPORT long sac_scratch(void *sac) { return 2; }
EXPORT long ppo_scratch(void *ppo) { return 3; }
"""
"""All that is looked for when a library is opened."""

FAILING = {
    "says no": ("echo 'update.c: error: no room' >&2; exit 1", "update.c: error: no room"),
    "says nothing": ("exit 1", "no library came out"),
    "makes nothing": ("exit 0", "no library came out"),
    "says bytes": (r"printf '\377\050 Fehler' >&2; exit 1", "Fehler"),
}
"""What a compiler does, as lines of a shell, and what is said of it."""
GARBAGE = 'for word; do out=$word; done; echo "no library" > "$out"'
"""The last word of the command is the output."""


def compiler(folder: Path, lines: str) -> str:
    """Write a compiler that is a shell script, and return its command."""
    path = folder / "a compiler.sh"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o700)
    return shlex.quote(str(path))


def counting(folder: Path) -> tuple[str, Path]:
    """Return a compiler that works, and a file with a line for each of its calls."""
    calls = folder / "calls"
    calls.touch()
    command = compiler(folder, f'echo once >> {shlex.quote(str(calls))}; exec cc "$@"')
    return command, calls


def lacking() -> None:
    """Be `library` where there is no compiler."""
    raise library.NotCompiled("there is no C compiler: install gcc or clang")
