"""How the C code is compiled: by setup.py at install time, or at first use into a cache.

Imports nothing of ours, because setup.py runs this file by its path.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden")
"""None lets the compiler change a result: the bits are those of -O2, and of any compiler."""
INSTRUCTIONS = {
    "avx512": ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
}
"""What the code is compiled for; the one that fits a processor is chosen at run time."""


class CannotCompile(Exception):
    """There is no compiler, or it fails; the message says what to do."""


def sources() -> list[Path]:
    """Return the files that a library is compiled from."""
    return sorted(SOURCE.glob("*.[ch]"))


def key(kind: str) -> str:
    """Return what tells a compiled library from one of other sources or flags."""
    digest = hashlib.sha256(repr((FLAGS, INSTRUCTIONS[kind])).encode())
    for path in sources():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def flags(kind: str) -> list[str]:
    """Return the compiler's flags for a kind of processor."""
    return [*FLAGS, *INSTRUCTIONS[kind], f'-DKEY="{key(kind)}"']


def cache() -> Path:
    """Return where libraries that were compiled at first use are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clrl"


def cached(kind: str) -> Path | None:
    """Return the cached library of these sources, if there is one and it is whole."""
    for path in cache().glob(f"update-{kind}-{key(kind)}-*.so"):
        if path.stem.rpartition("-")[2] == _digest(path):
            return path
    return None


def compile_into_cache(kind: str) -> Path:
    """Compile, which takes a second or two, and return the library.

    Raises:
        CannotCompile: there is no compiler, it fails, or nothing can be written.
    """
    command = _compiler()
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            made = Path(folder) / "update.so"
            command += [*flags(kind), "-shared", "-fPIC", str(SOURCE / "update.c"), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0 or not made.exists():
                said = (done.stderr or done.stdout).strip().splitlines() or ["no library came out"]
                line = next((line for line in said if "error" in line), said[0])
                raise CannotCompile(f"the C compiler {command[0]} fails ({line})")
            path = cache() / f"update-{kind}-{key(kind)}-{_digest(made)}.so"
            os.replace(made, path)  # whole or not at all, for whoever compiles at the same time
            return path
    except OSError as error:
        raise CannotCompile(f"the compiled update cannot be kept ({error})") from error


def _compiler() -> list[str]:
    """Return the C compiler's command: $CC, that of Python, or cc."""
    asked = os.environ.get("CC")
    named = [asked] if asked else [sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]
    for words in map(shlex.split, named):
        if words and shutil.which(words[0]):
            return words
    raise CannotCompile(f"there is no C compiler ({asked or 'cc'}): install gcc or clang")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
