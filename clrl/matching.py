"""Which reference runs belong to a run: the single-task runs that forward transfer needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clrl.errors import ConfigError
from clrl.groups import Group
from clrl.metrics import auc
from clrl.results import RunData

MATCHED = {
    "sequence": ("steps_per_task", "horizon", "reward", "randomization", "fixes"),
    "evaluation": ("evals_per_task", "stochastic_episodes", "success_rule"),
    "learner": ("name", "hidden_sizes", "layer_norm", "activation"),
}
"""Settings in which a reference must agree (beside the task): those that its curve is made of."""


@dataclass(frozen=True, eq=False)
class References:
    """The references of one group.

    Attributes:
        groups: Task name -> its reference runs.
        missing: Names of the tasks without a reference, each once.
        near: Sentences on references of missing tasks that do not match, with the reason.
        differences: Learner settings of the group that its references do not share, as
            `name value (references: value)`.
    """

    groups: dict[str, Group]
    missing: tuple[str, ...]
    near: tuple[str, ...]
    differences: tuple[str, ...]

    def areas(self, tasks: Sequence[str]) -> np.ndarray:
        """AUC of the references, [S_b, N]: row r is the r-th seed of every task in ascending order.

        S_b is the smallest number of seeds over the tasks. None may be missing.
        """
        columns = {name: auc(group.success)[:, 0] for name, group in self.groups.items()}
        rows = min(len(columns[name]) for name in tasks)
        return np.stack([columns[name][:rows] for name in tasks], axis=1)


def is_reference(run: RunData) -> bool:
    """Whether a run can be a reference: one task, learned without a continual-learning method."""
    return len(run.tasks) == 1 and run.config["method"]["name"] == "finetuning"


def set_apart(runs: Sequence[RunData]) -> tuple[list[RunData], list[RunData]]:
    """Split runs into those to measure and those that are references of one of them.

    A run that could be a reference but whose task no other run has is measured like any run.
    """
    needed = {name for run in runs if not is_reference(run) for name in run.tasks}
    references = [run for run in runs if is_reference(run) and run.tasks[0] in needed]
    return [run for run in runs if run not in references], references


def find_references(group: Group, candidates: Sequence[Group]) -> References:
    """Pick a group's references; interleaved tasks have none.

    Args:
        group: Runs of a sequence.
        candidates: Reference runs, joined.

    Raises:
        ConfigError: Two configurations match a task equally well.
    """
    if group.interleaved:
        return References({}, (), (), ())
    found: dict[str, Group] = {}
    near = []
    names = list(dict.fromkeys(group.tasks))
    for name in names:
        of_task = [c for c in candidates if c.tasks == (name,)]
        matching = [c for c in of_task if not _mismatches(group.config, c.config)]
        if matching:
            found[name] = _closest(group, matching, name)
        else:
            near += [_near_sentence(group, candidate) for candidate in of_task]
    differences = {
        text: None for c in found.values() for text in _differences(group.config, c.config)
    }
    missing = tuple(name for name in names if name not in found)
    return References(found, missing, tuple(near), tuple(differences))


def _mismatches(config: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    return [
        f"{section}.{key} {_get(reference, section, key)!r}, not {_get(config, section, key)!r}"
        for section, keys in MATCHED.items()
        for key in keys
        if _get(config, section, key) != _get(reference, section, key)
    ]


def _get(config: dict[str, Any], section: str, key: str) -> Any:
    default = "any" if key == "success_rule" else None
    return config[section].get(key, default)


def _closest(group: Group, matching: Sequence[Group], name: str) -> Group:
    """The candidate with the fewest other differences in the learner."""
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
    """Differences in the learner that a reference may have, and in the parity."""
    own, other = dict(config["learner"]), dict(reference["learner"])
    own["parity"], other["parity"] = config.get("parity"), reference.get("parity")
    keys = [key for key in {**own, **other} if key not in MATCHED["learner"]]
    return [
        f"{key} {own.get(key)} (references: {other.get(key)})"
        for key in keys
        if own.get(key) != other.get(key)
    ]


def _near_sentence(group: Group, candidate: Group) -> str:
    reasons = "; ".join(_mismatches(group.config, candidate.config))
    return f"{candidate.directories[0]} is no reference for {candidate.tasks[0]}: {reasons}."
