"""Which tasks of two runs are the same world, and which runs are of the same worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clrl.config.families import FAMILIES
from clrl.config.schema import sequence_identity
from clrl.envs.contract.identity import differing_identity
from clrl.envs.contract.probe import differing_numbers
from clrl.results.reading import ALL, RunData, differing_worlds

NOT_THE_WORLD = ("tasks", "steps_per_task", "reveals", "score", "score_range")
"""Keys of `sequence` that say how long a task is, what is told of it and how it is measured."""

UNKNOWN = (
    "Recorded by a version that did not record what worlds are: that they are the same everywhere "
    "is not known, and they stand beside no others."
)


def same_world(run: RunData, task: int, other: RunData, other_task: int) -> bool:
    """Return whether a task of one run and a task of another are the same world.

    Of worlds that are not ours: if they say that they are the same, whatever their names, and did
    the same when they were tried. Of ours, if name and settings of the family agree; and so of
    records without what worlds say.
    """
    if _alone(run, other) or world(run.config, task) != world(other.config, other_task):
        return False
    mine, its = _numbers(run, task), _numbers(other, other_task)
    if mine is None or its is None:
        return mine is its
    return differing_numbers(mine, its) is None


def world(config: Mapping[str, Any], task: int) -> dict[str, Any]:
    """Return what makes the world of a task, as far as the configuration says it."""
    settings = settings_at(config, task)
    if settings.get("identity"):
        return {key: settings.get(key) for key in ("identity", "max_episode_steps")}
    kept = {key: value for key, value in settings.items() if key not in NOT_THE_WORLD}
    return {"task": config["sequence"]["tasks"][task], **kept}


def is_unknown(run: RunData) -> bool:
    """Return whether a record lacks what its worlds are."""
    sequence = run.config["sequence"]
    own = [name for name, family in FAMILIES.items() if family.probed]
    return sequence["family"] in own and run.score.name != "accuracy" and "identity" not in sequence


def difference(run: RunData, other: RunData) -> str | None:
    """Say in what the worlds of two runs of equally many tasks differ, None for nothing.

    Worlds that each seed has of its own are joined by the function that makes them; where there is
    none to name, a run stands alone.
    """
    if _alone(run, other):
        return "each seed's worlds are its own, and no function is named for them"
    if run.config["sequence"].get("per_seed"):
        return None
    if (run.worlds is None) != (other.worlds is None):
        return "the numbers of one are not recorded"
    said = [r.config["sequence"].get("identity") or () for r in (run, other)]
    return differing_identity(*said) or differing_worlds(run.worlds, other.worlds)


def by_worlds(runs: Iterable[RunData], key: Callable[[RunData], Any]) -> list[list[RunData]]:
    """Put runs of an equal key and of the same worlds together, in the order of their first."""
    alike: dict[Any, list[list[RunData]]] = {}
    order: list[list[RunData]] = []
    for run in runs:
        found = alike.setdefault(key(run), [])
        for members in found:
            if difference(run, members[0]) is None:
                members.append(run)
                break
        else:
            found.append([run])
            order.append(found[-1])
    return order


def _alone(run: RunData, other: RunData) -> bool:
    """Return whether a run has worlds for each seed that nothing names, and is not the other."""
    sequence = run.config["sequence"]
    unnamed = bool(sequence.get("per_seed")) and sequence["family"] == "custom"
    return unnamed and run.directory != other.directory


def _numbers(run: RunData, task: int) -> Any:
    return run.worlds[ALL][task] if run.worlds is not None and ALL in run.worlds else None


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
