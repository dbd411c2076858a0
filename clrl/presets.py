"""Tested sets of settings that stand between the published defaults and the user's flags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from clrl.agents.methods import METHODS
from clrl.agents.settings import SMALL_PRESET, SACSettings
from clrl.config import EvaluationConfig, RunConfig, SequenceConfig


@dataclass(frozen=True)
class Preset:
    """Values that replace defaults, for one purpose.

    Attributes:
        sequence: fields of `SequenceConfig`.
        learner: fields of the learner's settings.
        evaluation: fields of `EvaluationConfig`.
        method: fields of single methods, by the method's name.
    """

    sequence: dict[str, Any]
    learner: dict[str, Any]
    evaluation: dict[str, Any]
    method: dict[str, dict[str, Any]]


PresetName = Literal["small"]
PRESETS: dict[str, Preset] = {
    # Minutes instead of days: easy tasks are learned, and forgetting and transfer can be seen.
    "small": Preset(
        sequence={"steps_per_task": 7_500},
        learner=SMALL_PRESET,
        evaluation={"evals_per_task": 6, "stochastic_episodes": 10, "deterministic_episodes": 1},
        method={"packnet": {"retrain_steps": 750}},
    )
}


def base_config(tasks: tuple[str, ...], method: str, preset: str | None = None) -> RunConfig:
    """Return what a run is before the user's flags.

    Each layer wins over the ones before it: the learner's published defaults, those that belong to
    the method as published, the preset.

    Args:
        tasks: the sequence.
        method: a key of METHODS.
        preset: a key of PRESETS, or None for the published settings.
    """
    kind = METHODS[method]
    config = RunConfig(
        sequence=SequenceConfig(tasks),
        learner=SACSettings(**kind.learner_defaults.get("sac", {})),
        method=kind(),
    )
    if preset is None:
        return config
    chosen = PRESETS[preset]
    return replace(
        config,
        sequence=SequenceConfig(tasks, **chosen.sequence),
        learner=replace(config.learner, **chosen.learner),
        method=kind(**chosen.method.get(method, {})),
        evaluation=EvaluationConfig(**chosen.evaluation),
    )
