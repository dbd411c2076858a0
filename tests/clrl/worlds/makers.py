"""Makers of any kind, and those that make no world, the same one, or another one each time."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from clrl.config.evaluation import Evaluation
from clrl.envs.sequence import TaskSequence
from tests.clrl.worlds.point import GOALS, Point, Refused, Trains, tasks, world

# Makers of any callable kind work.


@tasks(Trains())
def lambdas(seed: int) -> TaskSequence:
    return TaskSequence([lambda: Point(-0.5), lambda: Point(0.5)], 40)


def left() -> gym.Env:
    return Point(-0.5)


@tasks(Trains())
def a_function_and_the_class_itself(seed: int) -> TaskSequence:
    return TaskSequence([left, Point], 40)


@dataclass
class Maker:
    """It has fields, and therefore no hash."""

    goal: float

    def __call__(self) -> gym.Env:
        return Point(self.goal)

    def make(self) -> gym.Env:
        return Point(self.goal)


@tasks(Trains())
def objects_that_cannot_be_hashed(seed: int) -> TaskSequence:
    return TaskSequence([Maker(goal) for goal in GOALS.values()], 40)


@tasks(Trains())
def bound_methods(seed: int) -> TaskSequence:
    return TaskSequence([Maker(goal).make for goal in GOALS.values()], 40)


@tasks(Trains())
def partials_of_partials(seed: int) -> TaskSequence:
    inner = partial(partial(Maker, -0.5)().__call__)
    return TaskSequence([partial(inner), partial(Maker.make, Maker(0.5))], 40)


@tasks(Trains())
def makers_from_a_generator_expression(seed: int) -> TaskSequence:
    return TaskSequence((partial(Point, goal) for goal in GOALS.values()), 40)  # type: ignore


@tasks(Trains(), seeds=(0, 1))
def two_seeds(seed: int) -> TaskSequence:
    return TaskSequence([partial(Point, goal) for goal in GOALS.values()], 40)


@tasks(Trains())
def steps_from_numpy(seed: int) -> TaskSequence:
    return TaskSequence([Point, left], np.array([40, 20]))  # type: ignore[arg-type]


@tasks(Trains())
def names_from_numpy(seed: int) -> TaskSequence:
    return TaskSequence([Point, left], np.int64(40), np.array(["a", "b"]))  # type: ignore


@tasks(Trains())
def equal_names_of_different_tasks(seed: int) -> TaskSequence:
    return TaskSequence([Point, left], 40, ["point", "point"])


@tasks(Trains())
def the_same_task_again(seed: int) -> TaskSequence:
    return TaskSequence([Point, left, Point], 40, ["a", "b", "a"])


@tasks(Trains())
def names_with_odd_characters(seed: int) -> TaskSequence:
    return TaskSequence([Point, left], 40, ["../a b/ü\n", "|*?:[{'\"}]%"])


@tasks(
    Trains(),
    settings={"exploration_steps": 1, "learning_starts": 1, "train_freq": 2, "gradient_steps": 1},
    evaluation=Evaluation(1, 1, 0, tasks="economical"),
)
def a_hundred_and_one_tasks(seed: int) -> TaskSequence:
    makers = [partial(Point, -1 + task / 50) for task in range(101)]
    return TaskSequence(makers, 4, max_episode_steps=4)


# What makes no world.


@tasks(Refused("(?s)Pendulum-v1"))
def the_id_of_an_environment(seed: int) -> TaskSequence:
    return TaskSequence(["Pendulum-v1"], 40)  # type: ignore[list-item]


@tasks(Refused("(?s)task 0.*(maker|callable|function)|(maker|callable|function).*task 0"))
def an_environment(seed: int) -> TaskSequence:
    return TaskSequence([Point()], 40)  # type: ignore[list-item]


@tasks(Refused("(?s)task 1.*None|None.*task 1"))
def none(seed: int) -> TaskSequence:
    return TaskSequence([Point, None], 40)  # type: ignore[list-item]


@tasks(Refused("maker"))
def one_maker_that_is_not_in_a_list(seed: int) -> TaskSequence:
    return TaskSequence(Point, 40)  # type: ignore[arg-type]


@tasks(Refused("maker"))
def a_dictionary_of_makers(seed: int) -> TaskSequence:
    return TaskSequence({"left": left, "right": Point}, 40)  # type: ignore[arg-type]


@tasks(Refused("maker"))
def no_makers(seed: int) -> TaskSequence:
    return TaskSequence([], 40)


@tasks(Refused("(?s)task 1.*None|None.*task 1"))
def a_maker_of_none(seed: int) -> TaskSequence:
    return TaskSequence([Point, lambda: None], 40)  # type: ignore


@tasks(Refused("(?s)task 0.*(dict|hammer)|(dict|hammer).*task 0"))
def a_maker_of_something_else(seed: int) -> TaskSequence:
    return TaskSequence([lambda: {"a": "hammer"}], 40)  # type: ignore


@tasks(Refused("(?s)task 0.*Point|Point.*task 0"))
def a_maker_of_a_class(seed: int) -> TaskSequence:
    return TaskSequence([lambda: Point], 40)  # type: ignore


@tasks(Refused("(?s)task 0.*VectorEnv|VectorEnv.*task 0"))
def a_maker_of_many_environments(seed: int) -> TaskSequence:
    return TaskSequence([lambda: gym.vector.SyncVectorEnv([Point, Point])], 40)  # type: ignore


def broken() -> gym.Env:
    raise OSError("the licence has expired")


@tasks(Refused("(?s)task 1.*the licence has expired|the licence has expired.*task 1"))
def a_constructor_that_fails(seed: int) -> TaskSequence:
    return TaskSequence([Point, broken], 40)


@tasks(Refused("(?s)task 0.*target|target.*task 0"))
def a_constructor_that_wants_more(seed: int) -> TaskSequence:
    return TaskSequence([partial(Point, target=3), left], 40)  # type: ignore[call-arg]


# What makes the same world, or another one each time.


@world(Refused("(?s)(left|task 0).*(same|twice|one|fresh|new)"))
@functools.cache
def one_object_again_and_again(goal: float) -> gym.Env:
    return Point(goal)


@tasks(Refused("same|twice|one|fresh|new"))
def one_object_for_two_tasks(seed: int) -> TaskSequence:
    point = Point()
    return TaskSequence([lambda: point, lambda: point], 40)


_shared = Point()


@tasks(Refused("same|twice|one|fresh|new"), seeds=(0, 1))
def one_object_for_two_seeds(seed: int) -> TaskSequence:
    return TaskSequence([lambda: _shared], 40)


@tasks(Refused("same|twice|one|fresh|new"))
def one_object_in_fresh_wrappers(seed: int) -> TaskSequence:
    point = Point()
    return TaskSequence([lambda: gym.wrappers.TimeLimit(point, 10)], 40)


@tasks(Refused("(?s)task 0"))
def another_world_at_each_call(seed: int) -> TaskSequence:
    goals = itertools.cycle([-0.5, 0.0, 0.5])
    return TaskSequence([lambda: Point(next(goals))], 40)


class Pulled(Point):
    """Its goal cannot be seen."""

    def observation(self) -> Any:
        return np.array([*self.place, 0.0], np.float32)


@tasks(Refused("(?s)task 0"))
def another_reward_at_each_call(seed: int) -> TaskSequence:
    goals = itertools.count()
    return TaskSequence([lambda: Pulled(next(goals) % 7 / 7)], 40)


@tasks(Refused("per_seed"), seeds=(0, 1))
def goals_that_differ_between_seeds(seed: int) -> TaskSequence:
    goals = list(GOALS.values())[:: 1 if seed else -1]
    return TaskSequence([partial(Point, goal) for goal in goals], 40)


@tasks(Trains(), seeds=(0, 1))
def goals_that_differ_between_seeds_as_declared(seed: int) -> TaskSequence:
    goals = list(GOALS.values())[:: 1 if seed else -1]
    return TaskSequence([partial(Point, goal) for goal in goals], 40, worlds="per_seed")


@tasks(Refused("per_seed"), seeds=(0, 1))
def rewards_that_differ_between_seeds(seed: int) -> TaskSequence:
    return TaskSequence([partial(Pulled, 0.1 * seed)], 40)


@tasks(Trains(), seeds=(0, 1))
def rewards_that_differ_between_seeds_as_declared(seed: int) -> TaskSequence:
    return TaskSequence([partial(Pulled, 0.1 * seed)], 40, worlds="per_seed")


@tasks(Refused("per_seed"), seeds=(0, 1))
def lambdas_that_differ_between_seeds(seed: int) -> TaskSequence:
    return TaskSequence([lambda: Pulled(0.1 * seed)], 40)


@tasks(Refused("worlds"))
def a_word_for_worlds_that_is_none(seed: int) -> TaskSequence:
    return TaskSequence([Point], 40, worlds="different")  # type: ignore[arg-type]


@tasks(Refused("max_episode_steps"))
def no_steps_of_an_episode(seed: int) -> TaskSequence:
    return TaskSequence([Point], 40, max_episode_steps=0)
