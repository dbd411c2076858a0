"""Settings of the learners: defaults, what a method publishes with, what the user gives."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clrl.agents.base_settings import LearnerSettings, dense
from clrl.agents.fields import number
from clrl.agents.ppo_settings import SLIPPERY_ANT_PRESET, SMALL_PPO_PRESET, PPOSettings
from clrl.agents.sac_settings import SMALL_PRESET, SACSettings

if TYPE_CHECKING:
    from clrl.agents.methods.base import Method

__all__ = [
    "SETTINGS", "SLIPPERY_ANT_PRESET", "SMALL_PPO_PRESET", "SMALL_PRESET", "ClassifierSettings",
    "LearnerSettings", "PPOSettings", "SACSettings", "check_told", "make_settings",
]  # fmt: skip


@dataclass(frozen=True)
class ClassifierSettings(LearnerSettings):
    """Settings of the classifier."""

    name: ClassVar[str] = "classifier"
    no_turns: ClassVar[str] = "its stream has no episodes that could take turns"
    passes: ClassVar[int] = 3
    update_seconds: ClassVar[tuple[float, float]] = (0.6e-3, 0.1e-3)

    learning_rate: float = number(1e-3, above=0)
    """Adam's learning rate."""
    batch_size: int = number(64, above=0)
    """Examples per update and seed."""
    hidden_sizes: tuple[int, ...] = number((32, 32), above=0)
    """Widths of the hidden layers."""
    layer_norm: bool = True
    """Layer norm and tanh after the first layer, as in the networks of SAC."""
    multi_head: bool = True
    """One output head per task."""
    reset_optimizer: bool = True
    """Start with a fresh optimizer when the task changes."""
    replay: Literal["task", "all"] = "task"
    """Train on the current task's examples, or on those of all tasks seen."""

    @classmethod
    def uses(cls, values: Mapping[str, Any]) -> tuple[bool, bool]:
        """Return whether the learner acts at told boundaries, and whether it reads the task id."""
        every = cls.with_defaults(values)
        return every["reset_optimizer"], cls.reads_task_id(every)

    def row_bytes(self, observation: int, action: int) -> int:
        """Return an example in float32, its label and its task; `action` are the classes."""
        return 4 * observation + 8 + 1

    def rows_stored(self, lengths: Sequence[int], one_store: bool) -> int:
        """Return 0: examples belong to the world."""
        return 0

    def updates(self, lengths: Sequence[int], one_task: bool) -> int:
        """Return the updates of a seed: one a step."""
        return sum(lengths)

    def network_numbers(self, observation: int, action: int, n_ids: int) -> tuple[int, int]:
        """Return the numbers of the network, and with gradients and moments; `action`: classes."""
        core = dense((observation, *self.hidden_sizes)) + 2 * self.hidden_sizes[0] * self.layer_norm
        network = core + dense((self.hidden_sizes[-1], action * self.heads(n_ids)))
        return network, 4 * network


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
