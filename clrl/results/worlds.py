"""`worlds.json`: what the worlds of a run did when they were tried, to tell worlds apart by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clrl.envs.contract.probe import Numbers, differing_numbers
from clrl.errors import DamagedData

WORLDS_FILE = "worlds.json"
ALL = "all"
"""The key where all seeds have the same worlds; else each seed's number is one."""

WorldNumbers = dict[str, list[Numbers]]
"""The numbers of each task's world, under ALL or under every seed."""


def read_worlds(directory: Path) -> WorldNumbers | None:
    """Return what a run's `worlds.json` says, None without one.

    Raises:
        DamagedData: it cannot be read.
    """
    path = directory / WORLDS_FILE
    if not path.exists():
        return None
    try:
        worlds = json.loads(path.read_bytes())
        for tasks in worlds.values():
            for numbers in tasks:
                differing_numbers(numbers, numbers)  # reads all of them
    except (ValueError, TypeError, KeyError, AttributeError) as wrong:
        raise DamagedData(f"{path} cannot be read: {' '.join(str(wrong).split())}") from None
    read: WorldNumbers = worlds
    return read


def differing_worlds(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str | None:
    """Say in what worlds differ, as far as both are known for the same seeds; None for nothing."""
    for key in one.keys() & other.keys() if one is not None and other is not None else ():
        assert one is not None and other is not None
        if len(one[key]) != len(other[key]):
            return f"{len(one[key])} worlds instead of {len(other[key])}"
        for task, pair in enumerate(zip(one[key], other[key], strict=True)):
            if text := differing_numbers(*pair):
                return f"the world of task {task} gives the {text}"
    return None
