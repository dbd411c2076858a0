"""Directories that are either whole or not there: checkpoints and policy snapshots.

A directory is written under a name of its own, every file is synced, `MANIFEST.json` (size and
SHA-256 of each file) is written last, and one rename makes it visible. Reading checks the manifest
before anything is used. Tensors are loaded with `weights_only=True`, the rest is JSON: loading
never runs code.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clrl.errors import DamagedData

MANIFEST = "MANIFEST.json"
STATE = "state.json"
TENSORS = "tensors.pt"
KEEP = 2
LARGE = 64 * 2**20
"""A tensor above this many bytes (a big replay buffer) is written in blocks."""
BLOCK = 8 * 2**20
"""Bytes of a block; one that did not change since the last checkpoint is linked, not written."""

State = dict[str, Any]


class Checkpoint(NamedTuple):
    """One checkpoint read back."""

    path: Path
    tensors: dict[str, Tensor]
    state: State


class Checkpoints:
    """The checkpoints of one run, newest last; the two newest are kept.

    Args:
        directory: where they lie; made when the first one is saved.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def paths(self) -> list[Path]:
        """Return the checkpoints' directories, oldest first, whether they are whole or not."""
        return sorted(self.directory.glob("step-*"))

    def save(self, step: int, tensors: dict[str, Tensor], state: State) -> bool:
        """Save `step`'s checkpoint, then remove all but the two newest.

        Returns:
            False where the disk has less than twice the space needed or refuses the write; a
            warning says so, and the older checkpoints stay as they are.
        """
        needed = sum(t.numel() * t.element_size() for t in tensors.values())
        self.directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.directory).free
        if free < 2 * needed:
            warnings.warn(
                f"no checkpoint at step {step}: {free:,} bytes are free, {2 * needed:,} are needed",
                stacklevel=2,
            )
            return False
        target = self.directory / f"step-{step:09d}"
        try:
            write_directory(target, _files(tensors, state), _blocks(self.paths()))
        except OSError as error:
            warnings.warn(f"no checkpoint at step {step}: {error}", stacklevel=2)
            return False
        # A later step can only be a damaged one that a resume stepped over.
        older = [path for path in self.paths() if path <= target]
        for path in set(self.paths()) - set(older[-KEEP:]):
            shutil.rmtree(path, ignore_errors=True)
        return True

    def newest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, or None where there is none at all.

        A damaged one is stepped over with one warning that names the file.

        Raises:
            DamagedData: there are checkpoints and every one is damaged.
        """
        damages = []
        for path in reversed(self.paths()):
            try:
                checkpoint = Checkpoint(path, read_tensors(path), read_state(path))
            except DamagedData as damage:
                damages.append(str(damage))
                continue
            for message in damages:
                warnings.warn(f"{message}; going on from {path.name}", stacklevel=2)
            return checkpoint
        if damages:
            raise DamagedData("every checkpoint is damaged: " + "; ".join(damages))
        return None


def write_directory(
    target: Path, files: Iterable[tuple[str, bytes]], known: dict[str, Path] | None = None
) -> None:
    """Write `files` and their manifest so that `target` is there whole or not at all.

    Args:
        target: the directory; one that is already there is replaced.
        files: names and contents.
        known: SHA-256 to a synced file of that content, which is linked instead of written.

    Raises:
        OSError: the disk refused; `target` is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        manifest = {}
        for name, content in files:
            digest = hashlib.sha256(content).hexdigest()
            manifest[name] = {"bytes": len(content), "sha256": digest}
            _write(temporary / name, content, (known or {}).get(digest))
        _write(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
        _sync_directory(temporary)
        replaced = target.parent / f".tmp-{os.getpid()}-replaced"
        if target.exists():
            os.rename(target, replaced)
        os.rename(temporary, target)
        _sync_directory(target.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_leftovers(directory: Path) -> None:
    """Remove what killed processes left half written; the caller must own the directory."""
    for path in directory.glob(".tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_file(path: Path, content: bytes) -> None:
    """Replace one file atomically."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    _write(temporary, content)
    os.replace(temporary, path)
    _sync_directory(path.parent)


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Return tensors as the bytes of `torch.save`; equal tensors give equal bytes."""
    # clone: torch.save writes the whole storage that a view looks into.
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    buffer = io.BytesIO()
    torch.save(plain, buffer)
    return buffer.getvalue()


def read_state(directory: Path) -> State:
    """Read the JSON part of a directory of `write_directory`, checked."""
    try:
        state = json.loads(_checked(directory, STATE))
    except ValueError as error:
        raise DamagedData(f"{directory / STATE}: {error}") from error
    if not isinstance(state, dict):
        raise DamagedData(f"{directory / STATE}: not an object")
    return state


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """Read the tensors of a directory of `write_directory`, checked; on the CPU.

    Large ones are views into a file that nobody else sees, so that a full replay buffer is not in
    memory twice while it is copied to where it belongs.

    Raises:
        DamagedData: a file is missing, changed, or holds anything but tensors.
    """
    tensors = _unpack(directory, TENSORS)
    for name, large in read_state(directory).get("large", {}).items():
        with tempfile.TemporaryFile(dir=directory.parent) as file:
            for block_name in large["blocks"]:
                block = _unpack(directory, block_name)["block"].numpy()
                file.write(block.tobytes())
            file.flush()
            mapped = np.memmap(file, block.dtype, "r+", shape=tuple(large["shape"]))
        tensors[name] = torch.from_numpy(mapped)
    return tensors


def _files(tensors: dict[str, Tensor], state: State) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a checkpoint; blocks are made one by one, so memory stays small."""
    large = {n: t for n, t in tensors.items() if t.numel() * t.element_size() > LARGE}
    listed: dict[str, dict[str, Any]] = {}
    for i, (tensor_name, tensor) in enumerate(large.items()):
        # A seed's column grows at its end, so its blocks start where they did before.
        names: list[str] = []
        for block in (block for column in tensor for block in _split(column)):
            names.append(f"block-{i}-{len(names):06d}.pt")
            yield names[-1], pack({"block": block})
        listed[tensor_name] = {"shape": list(tensor.shape), "blocks": names}
    yield TENSORS, pack({n: t for n, t in tensors.items() if n not in large})
    yield STATE, json.dumps({**state, "large": listed}, allow_nan=False).encode()


def _split(column: Tensor) -> Iterator[Tensor]:
    """Yield a column's numbers in blocks; where it is no single piece, a copy of one at a time."""
    size, rows = max(1, BLOCK // column.element_size()), torch.atleast_1d(column)
    width = max(1, rows[:1].numel())
    for first in range(0, column.numel(), size):
        row, skip = divmod(first, width)
        numbers = rows[row : -(-(first + size) // width)].reshape(-1)
        yield numbers[skip : skip + size]


def _blocks(paths: list[Path]) -> dict[str, Path]:
    """Return the blocks of the newest checkpoint, by their SHA-256."""
    for path in reversed(paths):
        try:
            manifest = _manifest(path)
        except DamagedData:
            continue
        return {e["sha256"]: path / n for n, e in manifest.items() if n.startswith("block-")}
    return {}


def _manifest(directory: Path) -> dict[str, dict[str, Any]]:
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        return {str(n): {"bytes": int(e["bytes"]), "sha256": str(e["sha256"])}
                for n, e in manifest.items()}  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedData(f"{path}: {error}") from error


def _checked(directory: Path, name: str) -> bytes:
    """Return a file's bytes, if they are those that the manifest promises."""
    path = directory / name
    entry = _manifest(directory).get(name)
    if entry is None:
        raise DamagedData(f"{path}: not in {MANIFEST}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedData(f"{path}: {error}") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise DamagedData(f"{path}: not the content that {MANIFEST} promises")
    return content


def _unpack(directory: Path, name: str) -> dict[str, Tensor]:
    content = _checked(directory, name)
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; none of them has run anything
        raise DamagedData(f"{directory / name}: not a file of tensors ({error})") from error
    if not isinstance(loaded, dict) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise DamagedData(f"{directory / name}: not a file of tensors")
    return loaded


def _write(path: Path, content: bytes, known: Path | None = None) -> None:
    if known is not None:
        try:
            os.link(known, path)
            return
        except OSError:
            pass  # a file system without links
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
