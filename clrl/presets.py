"""Tested sets of settings that stand between the published defaults and the user's flags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from clrl.agents.methods import METHODS
from clrl.agents.settings import SLIPPERY_ANT_PRESET, SMALL_PPO_PRESET, SMALL_PRESET
from clrl.config import RUNS, EvaluationConfig, RunConfig, SequenceConfig
from clrl.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """Values that replace defaults, for one purpose.

    Attributes:
        learner: fields of a learner's settings, by the learner's name; a learner that is not
            named is refused.
        sequence: fields of `SequenceConfig`.
        evaluation: fields of `EvaluationConfig`.
    """

    learner: dict[str, dict[str, Any]]
    sequence: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


PresetName = Literal["small", "slippery-ant"]
PRESETS: dict[str, Preset] = {
    # Minutes instead of days: easy tasks are learned, and forgetting and transfer can be seen.
    "small": Preset(
        learner={"sac": SMALL_PRESET, "ppo": SMALL_PPO_PRESET},
        sequence={"steps_per_task": 7_500},
        evaluation={"evals_per_task": 6, "stochastic_episodes": 10, "deterministic_episodes": 1},
    ),
    # Dohare et al. 2024 (Nature 632:768); the ant itself is another sequence.
    "slippery-ant": Preset(learner={"ppo": SLIPPERY_ANT_PRESET}),
}


def base_config(
    tasks: tuple[str, ...], method: str, preset: str | None = None, learner: str = "sac"
) -> RunConfig:
    """Return what a run is before the user's flags.

    Each layer wins over the ones before it: the learner's published defaults, those that belong to
    the method as published, the preset.

    Args:
        tasks: the sequence.
        method: a key of METHODS.
        preset: a key of PRESETS, or None for the published settings.
        learner: a key of RUNS.

    Raises:
        ConfigError: the preset is not for this learner, or the method does not work on it.
    """
    if preset is not None and learner not in PRESETS[preset].learner:
        known = " or ".join(PRESETS[preset].learner)
        raise ConfigError(
            f"preset {preset!r} has settings of the learner {known} only, and the learner is "
            f"{learner}; give --learner {known}, or no --preset"
        )
    kind = METHODS[method]
    config: Any = RUNS[learner](SequenceConfig(tasks))  # Any: which settings it has varies
    chosen = PRESETS[preset] if preset is not None else Preset(learner={learner: {}})
    steps = chosen.sequence.get("steps_per_task")
    settings = kind.learner_defaults.get(learner, {}) | chosen.learner[learner]
    changed: RunConfig = replace(
        config,
        sequence=SequenceConfig(tasks, **chosen.sequence),
        learner=replace(config.learner, **settings),
        method=kind(**kind.scaled(steps)) if steps else kind(),
        evaluation=EvaluationConfig(**chosen.evaluation),
    )
    return changed
