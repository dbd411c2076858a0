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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=x86-64",  # this and the next undo an installation's CFLAGS, which come first
    "-fno-fast-math",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
)
"""None lets the compiler change a result: the bits are those of -O2, and of any compiler."""
LINK_FLAGS = ("-fno-fast-math",)
"""Fast math would have the library, once loaded, round numbers near 0 to 0 in the whole process."""
INSTRUCTIONS = {
    "avx512": ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
}
"""What the code is compiled for; the one that fits a processor is chosen at run time."""
MOST_SECONDS = 120
"""A compiler takes one or two; one that takes longer than this hangs."""


class CannotCompile(Exception):
    """There is no compiler, or it fails; the message says what to do."""


def sources() -> list[Path]:
    """Return the files that a library is compiled from."""
    return sorted(SOURCE.glob("*.[ch]"))


def key(kind: str) -> str:
    """Return what tells a compiled library from one of other sources or flags."""
    digest = hashlib.sha256(repr((FLAGS, LINK_FLAGS, INSTRUCTIONS[kind])).encode())
    for path in sources():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def flags(kind: str) -> list[str]:
    """Return the compiler's flags for a kind of processor."""
    return [*FLAGS, *INSTRUCTIONS[kind], f'-DKEY="{key(kind)}"']


@contextmanager
def compiled(kind: str) -> Iterator[Path]:
    """Compile, which takes a second or two, into a folder of this user that is gone afterwards.

    Raises:
        CannotCompile: there is no compiler, or it fails.
    """
    command = _compiler()
    try:
        folder = tempfile.mkdtemp(prefix="clrl-")
    except OSError as error:
        raise CannotCompile(f"there is no room to compile the update ({error})") from error
    try:
        made = Path(folder) / "update.so"
        _compile([*command, *flags(kind), *LINK_FLAGS, "-shared", "-fPIC"], made)
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(command: list[str], made: Path) -> None:
    try:
        done = subprocess.run(
            [*command, str(SOURCE / "update.c"), "-o", str(made)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},  # "error" stays "error"
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        said = f"no end after {MOST_SECONDS} s"
    except OSError as error:
        said = str(error)
    else:
        if done.returncode == 0 and made.is_file():
            return
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no library came out"]
        said = next((line for line in lines if "error" in line), lines[0])
    raise CannotCompile(
        f"the C compiler {command[0]} fails ({said}): install gcc or clang, or name one in CC"
    )


def _compiler() -> list[str]:
    """Return the C compiler's command: $CC, that of Python, or cc."""
    asked = os.environ.get("CC", "").strip()
    named = [asked] if asked else [sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]
    for text in named:
        try:
            words = shlex.split(text)
        except ValueError:  # a quotation that does not end
            continue
        if words and shutil.which(words[0]):
            return words
    missing = f"the C compiler {asked}, which CC names, is not there" if asked else (
        "there is no C compiler")  # fmt: skip
    raise CannotCompile(f"{missing}: install gcc or clang, or name one in CC")


def cache() -> Path:
    """Return where libraries that were compiled at first use are kept.

    Raises:
        OSError: this user has no place for it.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    except RuntimeError as error:
        raise OSError("there is no home directory") from error
    if not folder.is_absolute():  # a relative one would let the current folder say what code runs
        raise OSError(f"the home directory {folder.parent} is not absolute")
    return folder / "clrl"


def cached(kind: str) -> list[Path]:
    """Return cached libraries of these sources that are whole, and that nobody else wrote."""
    try:
        if not is_ours(cache()):
            return []
        paths = sorted(cache().glob(f"update-{kind}-{key(kind)}-*.so"))
    except OSError:
        return []
    return [path for path in paths if _is_good(path)]


def _is_good(path: Path) -> bool:
    try:
        return is_ours(path) and path.stem.rpartition("-")[2] == _digest(path)
    except OSError:
        return False


def keep(made: Path, kind: str) -> Path:
    """Copy a library into the cache, and return it there: whole or not at all.

    Raises:
        OSError: it cannot be written, or others could write there too.
    """
    folder = cache()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_ours(folder):
        raise OSError(f"other users may write to {folder}")
    path = folder / f"update-{kind}-{key(kind)}-{_digest(made)}.so"
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        copy = Path(shutil.copyfile(made, Path(inner) / "update.so"))
        copy.chmod(0o600)
        os.replace(copy, path)  # others may be doing the same
    return path


def is_ours(path: Path) -> bool:
    """Return whether only this user, or the system's, can write to a file or folder.

    Raises:
        OSError: it is not there.
    """
    about = path.stat()
    if not hasattr(os, "getuid"):  # Windows: what is below the user's home is the user's
        return True
    return about.st_uid in (os.getuid(), 0) and not about.st_mode & 0o022


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
