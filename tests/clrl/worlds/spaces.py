"""Strange spaces, and observations that do not fit theirs."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from clrl.envs.sequence import TaskSequence
from tests.clrl.worlds.point import Point, Refused, Trains, tasks, world

HUGE = float(np.finfo(np.float32).max)


# Actions. Every world insists that `action_space.contains(action)`.


@world(Trains())
class ActionsOfFloat64(Point):
    action_space = Box(-0.1, 0.1, (2,), np.float64)  # as float32 the bound 0.1 is outside


@world(Trains(), learner="ppo")
class ActionsOfFloat64ForPPO(Point):
    action_space = Box(-0.1, 0.1, (2,), np.float64)


@world(Trains())
class ActionsOfFloat16(Point):
    action_space = Box(-0.1, 0.1, (2,), np.float16)


@world(Trains(), learner="ppo")
class AsymmetricActions(Point):
    action_space = Box(np.array([-1, 0], np.float32), np.array([3, 0.7], np.float32))


@world(Trains())
class ActionsOfOneUlp(Point):
    action_space = Box(1.0, float(np.nextafter(np.float32(1), np.float32(2))), (2,))


@world(Trains())
class ActionsFarFromZero(Point):
    action_space = Box(1e6, 1e6 + 1, (2,), np.float64)

    def move(self, action: Any) -> None:
        super().move(action)
        self.place = np.clip(self.place, -2, 2)


@world(Refused("(?s)action_space.*(width|range|finite|float32)"))
class ActionsAsWideAsFloat32(Point):
    action_space = Box(-HUGE, HUGE, (2,))


@world(Refused("(?s)action_space.*(width|range|finite|float32)"))
class ActionsBeyondFloat32(Point):
    action_space = Box(-1e39, 1e39, (2,), np.float64)


@world(Refused("(?s)action_space.*(finite|bound|inf)"))
class UnboundedActions(Point):
    action_space = Box(-np.inf, np.inf, (2,))


@world(Refused("(?s)action_space.*(finite|bound|inf)"), learner="ppo")
class ActionsUnboundedAbove(Point):
    action_space = Box(np.array([-1, 0], np.float32), np.array([1, np.inf], np.float32))


@world(Refused("(?s)action_space.*(float|int)"))
class ActionsOfInt32(Point):
    action_space = Box(-2, 2, (2,), np.int32)


@world(Refused("action_space.*Discrete"))
class DiscreteActions(Point):
    action_space = Discrete(3)


@world(Refused("action_space.*MultiDiscrete"), learner="ppo")
class MultiDiscreteActions(Point):
    action_space = MultiDiscrete([3, 2])


@world(Refused("action_space.*MultiBinary"))
class BinaryActions(Point):
    action_space = MultiBinary(2)


@world(Refused("action_space.*Dict"))
class NamedActions(Point):
    action_space = Dict(force=Box(-1, 1, (2,)))


@world(Trains(), Refused("action_space.*ax[ei]s"))
class ActionsOfTwoAxes(Point):
    action_space = Box(-1.0, 1.0, (1, 2))


@world(Trains(), Refused("action_space.*ax[ei]s"))
class ActionsOfNoAxis(Point):
    action_space = Box(-1.0, 1.0, ())


@world(Refused("action_space"))
class NoActionSpace(Point):
    action_space = None  # type: ignore[assignment]


# Spaces that differ.


class Wide(Point):
    observation_space = Box(-4.0, 4.0, (4,))

    def observation(self) -> Any:
        return np.array([*self.place, self.goal, 0.0], np.float32)


class Strong(Point):
    action_space = Box(-5.0, 5.0, (2,))


@tasks(Refused("observation_space of task 1"))
def observations_that_differ_between_tasks(seed: int) -> TaskSequence:
    return TaskSequence([Point, Wide], 40)


@tasks(Refused("action_space of task 1"))
def actions_that_differ_between_tasks(seed: int) -> TaskSequence:
    return TaskSequence([Point, Strong], 40)


@tasks(Refused("observation_space"), seeds=(0, 1))
def observations_that_differ_between_seeds(seed: int) -> TaskSequence:
    return TaskSequence([Wide if seed else Point], 40, worlds="per_seed")


@tasks(Refused("action_space"), seeds=(0, 1))
def actions_that_differ_between_seeds(seed: int) -> TaskSequence:
    return TaskSequence([Strong if seed else Point], 40, worlds="per_seed")


@world(Trains())
class SpacesOfTheObject(Point):
    """Spaces made in the constructor, as most do."""

    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.observation_space = Box(-4.0, 4.0, (3,))
        self.action_space = Box(-1.0, 1.0, (2,))


@world(Trains())
class AnAttributeCalledNTasks(Point):
    """It happens to be called like one of ours."""

    n_tasks, reveals, interleaved = 2, "everything", "no"


@world(Refused("observation_space"))
class NoObservationSpace(Point):
    @property
    def observation_space(self) -> gym.Space:  # type: ignore[override]
        raise AttributeError("no observation_space")
