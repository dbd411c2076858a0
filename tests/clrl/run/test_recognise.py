"""Worlds made in Python become a configuration that makes them again, where one can."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium as gym

from clrl.config.families import (
    CustomSequence,
    FunctionSequence,
    GymnasiumSequence,
    MetaWorldSequence,
    ToySequence,
)
from clrl.envs.metaworld import continual_world
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream
from clrl.envs.vector import SeedVecEnv
from clrl.run.recognise import recognised, stream_config


def swings(seed: int = 0) -> TaskSequence:
    make = partial(gym.make, "Pendulum-v1", max_episode_steps=10)
    return TaskSequence([partial(make, g=10.0 + seed), partial(make, g=2.0)], [40, 20], ["a", "b"])


def test_worlds_that_a_configuration_can_make_again_are_recognised() -> None:
    def of(*makers: Any) -> Any:
        return recognised(SeedVecEnv(makers, range(len(makers))), range(len(makers)))

    found = of(partial(swings, 0), partial(swings, 0))
    assert isinstance(found, GymnasiumSequence) and found.tasks == ("a", "b")
    assert found.worlds[1] == "Pendulum-v1?max_episode_steps=10&g=2.0"
    assert found.steps_per_task == (40, 20)
    own = of(partial(swings, 0), partial(swings, 1))  # every seed its own worlds
    assert isinstance(own, FunctionSequence) and own.function == f"{__name__}:swings"
    assert isinstance(of(lambda: swings(0), lambda: swings(1)), CustomSequence)
    tasks = ("push-v3", "reach-v3", "push-v3")
    world = of(partial(continual_world, tasks, 50, reveals="boundaries", horizon=20))
    assert world == MetaWorldSequence(tasks, 50, "boundaries", horizon=20)
    for sequence in (found, world):
        assert sequence.make(0).schedule == sequence.schedule


def short(name: str) -> gym.Env:
    """A registered world with other episodes, made by a function of its own."""
    return gym.make(name, max_episode_steps=5)


def test_a_wrapped_or_changed_world_is_not_taken_for_a_registered_one() -> None:
    make = partial(gym.make, "Pendulum-v1")
    wrapped = partial(gym.wrappers.TimeLimit, make(), 5)
    worlds: list[list[Any]] = [
        [wrapped],
        [partial(short, "Pendulum-v1")],
        [make, lambda: make()],
        [partial(make, g=object())],
    ]
    for makers in worlds:
        found = recognised(SeedVecEnv([partial(TaskSequence, makers, 10)], [0]), [0])
        assert type(found) is CustomSequence and found.tasks[0] == "task-0"


def test_a_function_is_recognised_only_with_the_seeds_of_the_run() -> None:
    env = SeedVecEnv([partial(swings, 0), partial(swings, 1)], [0, 1])
    assert isinstance(recognised(env, [0, 1]), FunctionSequence)
    assert isinstance(recognised(env, [1, 0]), CustomSequence)


def test_a_toy_stream_is_made_again_and_another_stream_is_not() -> None:
    found = stream_config(ToyStream(3, 5, 16, reveals="boundaries"), [7, 8, 9])
    assert found == ToySequence(
        ("toy-0", "toy-1", "toy-2"), (7, 8, 9), "boundaries", dim=5, examples=16
    )
    own = stream_config(SimpleNamespace(n_tasks=2), 4)
    assert own == CustomSequence(("task-0", "task-1"), 4, score="accuracy")
