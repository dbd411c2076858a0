"""Worlds that are not ours: they are made as the configuration says, and say what they are."""

from __future__ import annotations

import pytest

from clrl.config.families import CustomSequence, GymnasiumSequence
from clrl.errors import ConfigError

PENDULUMS = ("Pendulum-v1?g=10", "Pendulum-v1?g=2")


def test_worlds_are_made_as_the_configuration_says() -> None:
    made = GymnasiumSequence(
        ("heavy", "light"), (10, 20), "boundaries", "success", (0.0, 2.0), worlds=PENDULUMS
    ).make(0)
    assert made.task_names == ("heavy", "light") and made.schedule.lengths == (10, 20)
    assert (made.reveals, made.score, made.score_range) == ("boundaries", "success", (0.0, 2.0))
    assert made.make_task(1).unwrapped.g == 2  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="unknown world 'Pendulm-v1'"):
        GymnasiumSequence(("Pendulm-v1",), 10)


def test_registered_worlds_say_what_they_are() -> None:
    sequence = GymnasiumSequence(("a", "b", "a"), 10, worlds=(*PENDULUMS, PENDULUMS[0]))
    assert [world["keywords"] for world in sequence.identity] == [{"g": 10}, {"g": 2}, {"g": 10}]
    assert sequence.identity == sequence.make(0).identity
    assert sequence.name == "a,b,a" and sequence.make(0).name == "a,b,a"
    named = GymnasiumSequence(("a",), 10, worlds=("Pendulum-v1",), name="swing")
    assert named.name == "swing" and named.max_episode_steps == 1_000
    with pytest.raises(ConfigError, match="identity has 1 entries; it must have one per task, 2"):
        CustomSequence(("a", "b"), 10, identity=named.identity)


def test_a_world_without_a_time_limit_is_cut_where_the_configuration_says() -> None:
    endless = "Pendulum-v1?max_episode_steps=-1"
    sequence = GymnasiumSequence((endless,), 10, max_episode_steps=7)
    made = sequence.make(0)
    assert made.cut == (0,) and made.max_episode_steps == 7 and sequence.horizon == 7
    assert GymnasiumSequence(("Pendulum-v1",), 10, max_episode_steps=7).make(0).cut == ()


def test_worlds_made_in_python_are_not_made_again() -> None:
    with pytest.raises(ConfigError, match="made in Python.*load_policy"):
        CustomSequence(("a",), 10).make(0)
