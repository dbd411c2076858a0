"""What a run was told about its tasks and made use of: the last two columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clrl.config.schema import is_interleaved

Answer = bool | None
"""None where this version does not know the method or the learner."""

NOTE = (
    "Task boundaries and task id: yes where the sequence tells them and the method, or the "
    "learner with its resets, its exploration of each task and its heads, uses them."
)


def made_use_of(config: Mapping[str, Any]) -> tuple[Answer, Answer]:
    """Return whether a run used task boundaries, and whether it used the task's id.

    It did if the sequence told them, and the method or the learner with its settings uses them.
    Nothing that the configuration names is imported: of a method or learner that this version
    lacks the other one decides, or the answer is None.

    Args:
        config: the configuration, of today's schema.
    """
    sequence = config["sequence"]
    several = len(sequence["tasks"]) > 1
    boundaries = several and sequence["reveals"] != "nothing" and not is_interleaved(config)
    task_id = several and sequence["reveals"] == "task"
    method, learner = _method_uses(config), _learner_uses(config)
    return (
        boundaries and _either(method[0], learner[0]),
        task_id and _either(method[1], learner[1]),
    )


def yes_no(answer: Answer) -> str:
    """Return an answer as a cell of a table."""
    return {True: "yes", False: "no", None: "?"}[answer]


def _method_uses(config: Mapping[str, Any]) -> tuple[Answer, Answer]:
    from clrl.agents.methods import METHODS  # here: it imports torch, which plots do not need

    name = str(config["method"]["name"])
    known = METHODS.get(name) if ":" not in name else None  # "my_package.file:Class" is a user's
    return (known.uses_task_boundaries, known.uses_task_id) if known else (None, None)


def _learner_uses(config: Mapping[str, Any]) -> tuple[Answer, Answer]:
    from clrl.agents.settings.learners import SETTINGS

    known = SETTINGS.get(config["learner"]["name"])
    if known is None:
        return None, None
    boundaries, task_id = known.uses(config["learner"])
    return boundaries, task_id


def _either(one: Answer, other: Answer) -> Answer:
    """Return whether one of two is true; None if that hangs on one that is not known."""
    if one or other:
        return True
    return None if one is None or other is None else False
