"""Which reference runs belong to a run: the single-task runs that forward transfer needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clrl.config.schema import sequence_identity
from clrl.errors import ConfigError
from clrl.results.groups import Group
from clrl.results.metrics import auc, learned_range
from clrl.results.reading import RunData

MAY_DIFFER_IN_SEQUENCE = ("tasks", "reveals", "score_range")
"""Keys of `sequence` in which a reference may differ; all others make its world and its score.

One task has no change to tell of and no other task to be told from, so `reveals` says nothing about
its curve; what it does to the learner's settings stands among those. `score_range` is how the
measured run is read."""

LEARNER = ("name", "hidden_sizes", "layer_norm", "activation")
"""Settings of the learner in which a reference must agree: those that its curve is made of."""


@dataclass(frozen=True, eq=False)
class References:
    """The references of one group.

    Attributes:
        groups: task name -> its reference runs.
        missing: names of the tasks without a reference, each once.
        near: sentences on references of missing tasks that do not match, with the reason.
        differences: learner settings of the group that its references do not share, as
            `name value (references: value)`.
    """

    groups: dict[str, Group]
    missing: tuple[str, ...]
    near: tuple[str, ...]
    differences: tuple[str, ...]

    def areas(self, tasks: Sequence[str]) -> np.ndarray:
        """Return AUCs [S_b, N]: row r is the r-th seed of every task in ascending order.

        S_b is the smallest number of seeds over the tasks. None may be missing.
        """
        columns = {name: auc(group.scores)[:, 0] for name, group in self.groups.items()}
        rows = min(len(columns[name]) for name in tasks)
        return np.stack([columns[name][:rows] for name in tasks], axis=1)

    def ranges(self, group: Group) -> np.ndarray:
        """Return the scores [N, 2] between which each task of the group is learned.

        The score's own bounds; of returns the sequence's `score_range` or, without one, what all
        seeds of the task's references learned: NaN without a reference.
        """
        if group.bounds is not None:
            return np.array([group.bounds] * len(group.tasks), float)
        known = {name: learned_range(found.scores) for name, found in self.groups.items()}
        return np.array([known.get(name, (np.nan, np.nan)) for name in group.tasks])


def is_reference(run: RunData) -> bool:
    """Return whether a run can be a reference: one task, learned without a continual method."""
    return len(run.tasks) == 1 and run.config["method"]["name"] == "finetuning"


def set_apart(runs: Sequence[RunData]) -> tuple[list[RunData], list[RunData]]:
    """Split runs into those to measure and those that are references of one of them.

    A run that could be a reference but whose task no other run has is measured like any run.
    """
    needed = {key for run in runs if not is_reference(run) for key in _worlds(run)}
    references = [run for run in runs if is_reference(run) and _worlds(run) <= needed]
    return [run for run in runs if run not in references], references


def _worlds(run: RunData) -> set[tuple[str, str, str]]:
    """Return family, score and name of each task."""
    return {(run.config["sequence"]["family"], run.score.name, name) for name in run.tasks}


def needs_references(group: Group) -> bool:
    """Return whether a group is measured against references.

    Interleaved tasks have no transfer; but what share of a return is learned is read off them.
    """
    return not group.interleaved or group.bounds is None


def find_references(group: Group, candidates: Sequence[Group]) -> References:
    """Pick a group's references.

    Args:
        group: runs of a sequence.
        candidates: reference runs, joined.

    Raises:
        ConfigError: two configurations match a task equally well.
    """
    if not needs_references(group):
        return References({}, (), (), ())
    found: dict[str, Group] = {}
    near = []
    names = list(dict.fromkeys(group.tasks))
    for name in names:
        of_task = [c for c in candidates if c.tasks == (name,)]
        matching = [c for c in of_task if not _mismatches(group, c)]
        if matching:
            found[name] = _closest(group, matching, name)
        else:
            near += [_near_sentence(group, candidate) for candidate in of_task]
    differences = {
        text: None for c in found.values() for text in _differences(group.config, c.config)
    }
    missing = tuple(name for name in names if name not in found)
    return References(found, missing, tuple(near), tuple(differences))


def _mismatches(group: Group, reference: Group) -> list[str]:
    """Say in what a reference differs where it may not, at any place that has its task."""
    theirs = _matched(reference, 0)
    texts: dict[str, None] = {}
    for task in (place for place, name in enumerate(group.tasks) if (name,) == reference.tasks):
        ours = _matched(group, task)
        for key in dict.fromkeys([*ours, *theirs]):
            if ours.get(key) != theirs.get(key):
                texts[f"{key} {theirs.get(key)!r}, not {ours.get(key)!r}"] = None
    return list(texts)


def _matched(group: Group, task: int) -> dict[str, Any]:
    """Return all in which a group's task and a reference must agree, under dotted names.

    A list with one entry per task (lengths, a family's worlds) is compared at the task's place.
    """
    config = group.config
    counts = ("evals_per_task", f"{group.score.mode}_episodes")
    evaluation = {key: config["evaluation"].get(key) for key in counts}
    sequence = {
        key: value[task] if isinstance(value, list) and len(value) == len(group.tasks) else value
        for key, value in sequence_identity(config).items()
        if key not in MAY_DIFFER_IN_SEQUENCE
    }
    learner = {key: config["learner"].get(key) for key in LEARNER}
    sections: dict[str, Mapping[str, Any]] = {
        "sequence": sequence, "evaluation": evaluation, "learner": learner,
    }  # fmt: skip
    return {f"{name}.{key}": v for name, section in sections.items() for key, v in section.items()}


def _closest(group: Group, matching: Sequence[Group], name: str) -> Group:
    """Return the candidate with the fewest other differences in the learner."""
    distances = [len(_differences(group.config, c.config)) for c in matching]
    best = [c for c, d in zip(matching, distances, strict=True) if d == min(distances)]
    if len(best) > 1:
        raise ConfigError(
            f"two different configurations of {name} match {group.directories[0]} equally well as "
            f"its reference: {best[0].directories[0]} and {best[1].directories[0]}; "
            "give only one of them"
        )
    return best[0]


def _differences(config: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """Say in what the learners differ where they may, and the parity."""
    own, other = dict(config["learner"]), dict(reference["learner"])
    own["parity"], other["parity"] = config.get("parity"), reference.get("parity")
    keys = [key for key in {**own, **other} if key not in LEARNER]
    return [
        f"{key} {own.get(key)} (references: {other.get(key)})"
        for key in keys
        if own.get(key) != other.get(key)
    ]


def _near_sentence(group: Group, candidate: Group) -> str:
    reasons = "; ".join(_mismatches(group, candidate))
    return f"{candidate.directories[0]} is no reference for {candidate.tasks[0]}: {reasons}."
