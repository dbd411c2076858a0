"""What the section `sequence` may say of any worlds."""

from __future__ import annotations

from typing import Any

import pytest

from clrl.config.families import (
    GymnasiumSequence,
    MetaWorldSequence,
    SequenceConfig,
    ToySequence,
)
from clrl.envs.metaworld.tasks import CW10
from clrl.errors import ConfigError

PENDULUMS = ("Pendulum-v1?g=10", "Pendulum-v1?g=2")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (MetaWorldSequence, {"tasks": ("hamer-v3",)}, "did you mean 'hammer-v3'"),
        (MetaWorldSequence, {"tasks": ()}, "sequence.tasks is empty"),
        (MetaWorldSequence, {"horizon": 501}, "sequence.horizon is 501; it must be in 1..500"),
        (MetaWorldSequence, {"horizon": True}, "sequence.horizon is True; it must be a whole"),
        (MetaWorldSequence, {"fixes": "patch"}, "sequence.fixes is 'patch'.*did you mean patched"),
        (MetaWorldSequence, {"score": "accuracy"}, "sequence.score is 'accuracy'; it must be"),
        (MetaWorldSequence, {"reveals": "tasks"}, "sequence.reveals is 'tasks'"),
        (MetaWorldSequence, {"steps_per_task": 0}, "steps_per_task must be whole numbers >= 1"),
        (MetaWorldSequence, {"steps_per_task": (5, 5)}, "one number or one per task .1., got 2"),
        (MetaWorldSequence, {"score_range": (1.0, 1.0)}, "score_range is .1.0, 1.0.; it must be"),
        (MetaWorldSequence, {"score_range": (1.0,)}, "score_range is .1.0,.; it must"),
        (GymnasiumSequence, {"tasks": ("Pendulum-v1?g",)}, "'g' must be KEYWORD=VALUE"),
        (GymnasiumSequence, {"tasks": ("a",), "worlds": PENDULUMS}, "must have one per task, 1"),
        (ToySequence, {"dim": 0}, "sequence.dim is 0; it must be at least 1"),
        (ToySequence, {"score": "return"}, "it must be accuracy for worlds of the family toy"),
    ],
)
def test_bad_values_are_named(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**{"tasks": ("push-v3",), **values})


def test_equal_lengths_are_written_as_one_number() -> None:
    assert MetaWorldSequence(CW10, (7,) * 10) == MetaWorldSequence(CW10, 7)
    assert MetaWorldSequence(CW10[:2], (7, 8)).schedule.total == 15


@pytest.mark.parametrize(
    ("sequence", "sizes", "horizon"),
    [
        (MetaWorldSequence(("push-v3",)), (39, 4), 200),
        (GymnasiumSequence(PENDULUMS, 10), (3, 1), 200),
        (GymnasiumSequence(("Pendulum-v1?max_episode_steps=50",), 10), (3, 1), 50),
    ],
)
def test_costs_know_the_sizes_of_the_worlds(
    sequence: SequenceConfig, sizes: tuple[int, int], horizon: int
) -> None:
    assert sequence.sizes() == sizes and sequence.horizon == horizon
