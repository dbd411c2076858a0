"""What this process may take of the machine's memory and cores; a container may allow it less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/proc/self/cgroup")
"""The control groups of this process, as Linux lists them."""
ROOT = Path("/sys/fs/cgroup")
"""Where they are mounted."""


def available_memory(groups: Path = GROUPS, root: Path = ROOT) -> int:
    """Return the bytes that this process may still take: the machine's, or its container's rest.

    Args:
        groups: the control groups of this process, as Linux lists them.
        root: where they are mounted.
    """
    return min([psutil.virtual_memory().available, *_memory_left(groups, root)])


def own_cores() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may run on; none where nothing says it."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
    return tuple(sorted(affinity(0))) if affinity else ()


def usable_cores(groups: Path = GROUPS, root: Path = ROOT) -> int:
    """Return how many cores' time this process may take, at least 1.

    Args:
        groups: the control groups of this process, as Linux lists them.
        root: where they are mounted.
    """
    cores = len(own_cores()) or os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(groups, root)])))


def _memory_left(groups: Path, root: Path) -> list[int]:
    """Return the bytes that are left in every group with a limit."""
    left = []
    for folder, version in _folders("memory", groups, root):
        if version == 2:
            names, cache_key = ("memory.max", "memory.current"), "inactive_file"
        else:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cache_key = "total_inactive_file"
        limit, usage = (_numbers(folder / name) for name in names)
        if limit:
            used = max(0, (usage or [0])[0] - _cache(folder, cache_key))
            left.append(max(0, limit[0] - used))
    return left


def _quotas(groups: Path, root: Path) -> list[float]:
    """Return how many cores' time every group with a quota may take."""
    quotas = []
    for folder, version in _folders("cpu", groups, root):
        if version == 2:
            numbers = _numbers(folder / "cpu.max")
        else:
            files = (folder / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
            numbers = [number for file in files for number in _numbers(file)]
        if len(numbers) == 2 and min(numbers) > 0:  # version 1 writes no quota as -1
            quotas.append(numbers[0] / numbers[1])
    return quotas


def _folders(controller: str, groups: Path, root: Path) -> Iterator[tuple[Path, int]]:
    """Yield every group of a controller, inner ones first: its folder and its version."""
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = root if (root / "cgroup.controllers").exists() else root / "unified"
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        # A container may see its own group as the mount's root, whatever the path says.
        parts = [] if ".." in path else [part for part in path.split("/") if part]
        for n in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:n]), 1 if controllers else 2


def _numbers(path: Path) -> list[int]:
    """Return a file's numbers; none where it says "max", and where there is no file."""
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


def _cache(folder: Path, key: str) -> int:
    """Return a group's bytes of files that the kernel gives up when memory is short."""
    try:
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(stat.get(key, 0))
    except (OSError, ValueError):
        return 0
