"""Tested sets of settings that stand between the published defaults and the user's flags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from clrl.agents.ppo.settings import SLIPPERY_ANT_PRESET, SMALL_PPO_PRESET
from clrl.agents.sac.settings import SMALL_PRESET
from clrl.config.evaluation import Evaluation
from clrl.config.run import RunConfig, find_learner, find_method, run_type
from clrl.config.sequences import sequence_named
from clrl.envs.told import Reveals
from clrl.errors import ConfigError, said_as_config_error


@dataclass(frozen=True)
class Preset:
    """Values that replace defaults, for one purpose.

    Attributes:
        learner: fields of a learner's settings, by the learner's name; a learner that is not
            named is refused.
        sequence: fields of `SequenceConfig`.
        evaluation: fields of `Evaluation`.
    """

    learner: dict[str, dict[str, Any]] = field(default_factory=dict)
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


def base_config(text: str, method: str, *layers: Any, **named: Any) -> RunConfig:
    """Return the configuration of `draft_config`, checked: a run without any flags.

    Raises:
        ConfigError: as there, or two values do not fit together.
    """
    return replace(draft_config(text, method, *layers, **named))


def draft_config(
    text: str,
    method: str,
    preset: str | None = None,
    learner: str | None = None,
    reveals: Reveals | None = None,
    seed: int = 0,
) -> RunConfig:
    """Return what a run is before the user's flags: whether its parts fit is not checked yet.

    (A function's tasks may be too short for the defaults, and the flags mend that.) Each layer wins
    over the ones before it: the learner's published defaults, those that belong to the method as
    published, the preset, and what the sequence does not reveal.

    Args:
        text: the sequence, see `sequence_named`.
        method: a key of METHODS, or `package.module:Class`.
        preset: a key of PRESETS, or None for the published settings.
        learner: a key of SETTINGS; None is the one that the worlds bring.
        reveals: what the agent is told; None is what the worlds say.
        seed: the first seed, for a sequence that a function makes.

    Raises:
        ConfigError: a name that is not known, or the preset is not for this learner.
    """
    chosen = PRESETS[preset] if preset is not None else Preset()
    told = {} if reveals is None else {"reveals": reveals}
    sequence = sequence_named(text, seed, **chosen.sequence, **told)
    name = learner or sequence.learners[0]
    if preset is not None and name not in chosen.learner:
        known = " or ".join(chosen.learner)
        raise ConfigError(
            f"preset {preset!r} has settings of the learner {known} only, and the learner is "
            f"{name}; give --learner {known}, or no --preset"
        )
    kind, settings = find_method(method), find_learner(name)
    values = {
        **kind.learner_defaults.get(name, {}),
        **chosen.learner.get(name, {}),
        **settings.forced(sequence.reveals),
    }
    with said_as_config_error():
        return run_type(type(sequence), settings).draft(
            sequence=sequence,
            learner=settings(**values),
            method=kind(**kind.scaled(min(sequence.schedule.lengths)) if chosen.sequence else {}),
            evaluation=Evaluation(**chosen.evaluation),
        )
