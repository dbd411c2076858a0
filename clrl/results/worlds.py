"""Which tasks of two runs are the same world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clrl.config.schema import sequence_identity
from clrl.results.reading import RunData

NOT_THE_WORLD = ("tasks", "steps_per_task", "reveals", "score", "score_range")
"""Keys of `sequence` that say how long a task is, what is told of it and how it is measured."""


def same_world(run: RunData, task: int, other: RunData, other_task: int) -> bool:
    """Return whether a task of one run and a task of another are the same world.

    They are if they have the same name and all settings of their family agree.
    """
    names = run.tasks[task], other.tasks[other_task]
    return names[0] == names[1] and world(run.config, task) == world(other.config, other_task)


def world(config: Mapping[str, Any], task: int) -> dict[str, Any]:
    """Return the settings that make the world of a task."""
    settings = settings_at(config, task).items()
    return {key: value for key, value in settings if key not in NOT_THE_WORLD}


def settings_at(config: Mapping[str, Any], task: int) -> dict[str, Any]:
    """Return a sequence's settings for a task.

    Of a list with one entry per task (lengths, a family's worlds) this is the task's own entry.
    """
    n = len(config["sequence"]["tasks"])
    return {
        key: value[task] if isinstance(value, list) and len(value) == n else value
        for key, value in sequence_identity(config).items()
    }


def has_halves(run: RunData) -> bool:
    """Return whether the second half of a run's tasks repeats the first, as in CW20."""
    n = len(run.tasks)
    return n > 1 and n % 2 == 0 and all(same_world(run, i, run, n // 2 + i) for i in range(n // 2))
