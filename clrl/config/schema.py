"""What the `config.yaml` of a run says, written today or by an older version.

Nothing that a configuration names is imported here.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from clrl.config.scores import SCORES
from clrl.envs.schedule import Schedule
from clrl.envs.told import Reveals
from clrl.errors import DamagedData

CONFIG_FILE = "config.yaml"

MAY_CHANGE_ON_RESUME = ("placement", "logging")
"""Sections that change no result: a continued run may have others."""

MAY_DIFFER_WHEN_JOINED = ("seeds", *MAY_CHANGE_ON_RESUME)
"""Sections in which runs that stand in one row of a table may differ."""

ADDED = {"reveals": "task", "score": "success", "score_range": None}
"""Keys of `sequence` that the first schema lacks, and what they were then."""


def upgraded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration in today's schema, which is how one of today comes back.

    The first schema has no `sequence.family`: its runs are on Meta-World or, where the sequence's
    name is "custom", on environments made in Python.
    """
    sequence = config.get("sequence")
    if not isinstance(sequence, Mapping):
        return dict(config)
    family = "custom" if sequence.get("name") == "custom" else "metaworld"
    return {**config, "sequence": {"family": family, **ADDED, **sequence}}


def schedule_of(config: Mapping[str, Any]) -> Schedule:
    """Return where a configuration's tasks start and end.

    Raises:
        ValueError: tasks or lengths that cannot be.
    """
    return Schedule(config["sequence"]["tasks"], config["sequence"]["steps_per_task"])


def is_interleaved(config: Mapping[str, Any]) -> bool:
    """Return whether tasks take turns, an episode each."""
    return bool(config["sequence"].get("interleaved", False))


def sequence_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two sequences the same: not their names, and not the order of their steps.

    Multi-task runs so stand in the same table as those on the sequence.
    """
    unlike = {"name", "interleaved"}
    if config["sequence"]["family"] == "metaworld":
        unlike.add("reward")  # no setting: written in some versions, and always v2
    return {key: value for key, value in config["sequence"].items() if key not in unlike}


def stored_config(path: Path) -> dict[str, Any]:
    """Return what a `config.yaml` says, in today's schema.

    Raises:
        DamagedData: it cannot be read, or is no configuration.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as wrong:
        raise DamagedData(f"{path} cannot be read: {' '.join(str(wrong).split())}") from None
    if not isinstance(values, dict):
        raise DamagedData(f"{path} is not the configuration of a run")
    return upgraded(values)


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's configuration, in today's schema.

    Raises:
        DamagedData: it cannot be read, or lacks what reading the record needs.
    """
    config = stored_config(path)
    try:
        lists = [config["sequence"]["tasks"], config["seeds"]]
        if not all(isinstance(values, list) and values for values in lists):
            raise DamagedData(f"{path}: sequence.tasks and seeds must be lists that are not empty")
        _check(config)
    except KeyError as missing:
        raise DamagedData(f"{path} has no {missing}") from None
    except (TypeError, AttributeError):
        raise DamagedData(f"{path} is not the configuration of a run") from None
    except ValueError as wrong:
        raise DamagedData(f"{path} cannot be read: {' '.join(str(wrong).split())}") from None
    return config


def _check(config: Mapping[str, Any]) -> None:
    """Raise ValueError for values that nothing can be read with."""
    config["method"]["name"], config["learner"]["name"]
    sequence, seeds = config["sequence"], config["seeds"]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {seeds} has a seed twice")
    evals = config["evaluation"]["evals_per_task"]
    if type(evals) is not int or evals < 1:
        raise ValueError(f"evaluation.evals_per_task is {evals!r}; it must be a whole number >= 1")
    schedule_of(config).evaluations(evals)
    for key, known in (("score", tuple(SCORES)), ("reveals", typing.get_args(Reveals))):
        if sequence[key] not in known:
            raise ValueError(
                f"sequence.{key} is {sequence[key]!r}; it is one of {', '.join(known)}"
            )
    limits = sequence["score_range"]
    if limits is not None and not _is_range(limits):
        raise ValueError(f"sequence.score_range is {limits!r}; it must be null or [low, high]")


def _is_range(limits: Any) -> bool:
    numbers = isinstance(limits, list) and len(limits) == 2
    if not numbers or any(type(limit) not in (int, float) for limit in limits):
        return False
    return math.isfinite(limits[0]) and math.isfinite(limits[1]) and limits[0] < limits[1]
