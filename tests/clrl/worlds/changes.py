"""Worlds that are others when their run is continued, given again, or put into one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from clrl.envs.sequence import TaskSequence
from tests.clrl.worlds.point import GOALS, Case, Point

Worlds = Callable[[int], TaskSequence]


class Felt(Point):
    """Neither goal nor pull is shown."""

    def observation(self) -> Any:
        return np.array([*self.place, 0.0], np.float32)


class Limited(gym.Wrapper):
    """Five steps instead of twelve."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        steps = self.unwrapped.steps  # type: ignore[attr-defined]
        return observation, reward, terminated, truncated or steps == 5, info


class Faint(Felt):
    """Its rewards are small numbers."""

    scale = 1e-5

    def reward(self) -> Any:
        return -self.scale * self.distance


class Long(Felt):
    """Its observations have many numbers."""

    observation_space = gym.spaces.Box(-4.0, 4.0, (200,))
    place_of_one = 1

    def observation(self) -> Any:
        shown = np.zeros(200, np.float32)
        shown[self.place_of_one] = 1.0
        return shown


def goals(
    *goals: float, kind: Any = Felt, names: Any = None, **settings: Any
) -> Callable[[int], TaskSequence]:
    """A function(seed) of tasks at these goals."""
    return lambda seed: TaskSequence([partial(kind, g) for g in goals], 40, names, **settings)


def edit(kind: type[gym.Env] = Felt, **parts: Any) -> type[gym.Env]:
    """A class after its file was edited: another one under the same name."""
    name = kind.__name__
    return type(name, (kind,), {**parts, "__module__": __name__, "__qualname__": name})


def shifted(seed: int, by: float = 0.0) -> TaskSequence:
    """Other worlds for each seed, by one rule."""
    return TaskSequence([partial(Felt, 0.1 * seed + by)], 40, worlds="per_seed")


def shifted_more(seed: int) -> TaskSequence:
    return shifted(seed, 0.5)


def registered(pull: float) -> Worlds:
    """Tasks that Gymnasium's registry makes, of one id."""
    makers = [partial(gym.make, "StrangeFelt-v0", goal=goal, pull=pull) for goal in (0, 1)]
    return lambda seed: TaskSequence(makers, 40, list(GOALS))


class Pulled(Felt):
    def __init__(self, goal: float = 0.5, pull: float = 0.1) -> None:
        super().__init__(goal)
        self.pull = pull


gym.register("StrangeFelt-v0", f"{__name__}:Pulled", max_episode_steps=9)

BASE = goals(-0.5, 0.5)


@dataclass(frozen=True)
class Change:
    """Two functions(seed) that make worlds, and whether they are the same.

    Attributes:
        one: makes the worlds of the first run.
        other: of the second one.
        same: whether a run goes on from one to the other and tables join them; "by rule": whether
            tables join them, while a run goes on only in equal numbers.
    """

    one: Worlds
    other: Worlds
    same: bool | Literal["by rule"] = False


CHANGES = {
    "nothing": Change(BASE, goals(-0.5, 0.5), same=True),
    "a class of equal code": Change(BASE, goals(-0.5, 0.5, kind=edit()), same=True),
    "the goals": Change(BASE, goals(-0.5, 0.7)),
    "the order of the goals": Change(BASE, goals(0.5, -0.5)),
    "the goals under equal names": Change(
        goals(-0.5, 0.5, names=["a", "b"]), goals(-1.0, 1.0, names=["a", "b"])
    ),
    "the names": Change(goals(-0.5, 0.5, names=["a", "b"]), goals(-0.5, 0.5, names=["a", "c"])),
    "a pull that nothing shows": Change(BASE, goals(-0.5, 0.5, kind=edit(pull=0.2))),
    "a little more pull": Change(BASE, goals(-0.5, 0.5, kind=edit(pull=0.101))),
    "the rewards": Change(BASE, goals(-0.5, 0.5, kind=edit(reward=lambda self: self.distance))),
    "small rewards": Change(goals(0.5, kind=Faint), goals(0.5, kind=edit(Faint, scale=3e-5))),
    "one of many numbers": Change(
        goals(0.5, kind=Long), goals(0.5, kind=edit(Long, place_of_one=2))
    ),
    "the ends": Change(BASE, goals(-0.5, 0.5, kind=edit(limit=9))),
    "a wrapper": Change(BASE, goals(-0.5, 0.5, kind=lambda goal: Limited(Felt(goal)))),
    "max_episode_steps": Change(
        goals(-0.5, 0.5, kind=edit(limit=-1)),
        goals(-0.5, 0.5, kind=edit(limit=-1), max_episode_steps=20),
    ),
    "a keyword of a registered world": Change(registered(0.1), registered(0.2)),
    "no keyword of a registered world": Change(registered(0.1), registered(0.1), same=True),
    "the rule of the seeds' worlds": Change(shifted, shifted_more),
    "no rule of the seeds' worlds": Change(shifted, shifted, same="by rule"),
}
"""What changed between two runs."""

CASES = {
    f"{name}, {which}": Case(getattr(change, which), ())
    for name, change in CHANGES.items()
    for which in ("one", "other")
}
"""Each of the two as a world of its own."""
CASES |= {
    "references, both": Case(goals(-0.5, 0.5, names=["a", "b"]), ()),
    "references, a": Case(goals(-0.5, names=["a"]), ()),
    "references, b": Case(goals(0.5, names=["b"]), ()),
    "references, other a": Case(goals(-1.5, names=["a"]), ()),
    "references, other b": Case(goals(1.5, names=["b"]), ()),
}
