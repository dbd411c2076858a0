"""Settings of the learners: defaults, what a method publishes with, what the user gives."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from clrl.agents.classifier.settings import ClassifierSettings
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.base import LearnerSettings

if TYPE_CHECKING:
    from clrl.agents.methods.base import Method


SETTINGS: dict[str, type[LearnerSettings]] = {
    kind.name: kind for kind in (SACSettings, PPOSettings, ClassifierSettings)
}
"""The settings of each learner, by its name."""


def make_settings(
    kind: Any, given: Any, method: Method, overrides: dict[str, Any], reveals: str = "task"
) -> Any:
    """Return a learner's settings.

    Args:
        kind: the learner's settings dataclass.
        given: complete settings, or None for the published ones of learner and method.
        method: its `learner_defaults` for this learner count where `given` is None.
        overrides: single settings; they win.
        reveals: what the sequence tells: "task", "boundaries" or "nothing".

    Raises:
        TypeError: a setting that the learner does not have, with the closest name.
        ValueError: a value that is not allowed; the method does not work on this learner, not with
            these settings, or not on what is revealed; a setting needs what is not revealed.
    """
    known = [field.name for field in fields(kind)]
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(
                f"{kind.__name__} has no setting {name}{hint} (it has {', '.join(known)})"
            )
    method.check_learner(kind.name)
    method.check_reveals(reveals)
    published = method.learner_defaults.get(kind.name, {})
    chosen = (published if given is None else vars(given)) | overrides
    check_told(kind, chosen, reveals)
    if given is None:
        settings = kind(**kind.forced(reveals) | chosen)
    else:
        settings = replace(given, **overrides)
    method.check_settings(settings)
    return settings


def check_told(kind: type[LearnerSettings], values: Mapping[str, Any], reveals: str) -> None:
    """Raise ValueError if a setting needs to be told what the sequence does not reveal.

    Args:
        kind: the learner's settings dataclass.
        values: settings that were chosen, {name: value}.
        reveals: "task", "boundaries" or "nothing".
    """
    for name, needed in kind.forced(reveals).items():
        if values.get(name, needed) != needed:
            raise ValueError(
                f"{kind.name}.{name} is {values[name]!r}, but the sequence reveals {reveals}; "
                f"it must be {needed!r}"
            )
