"""Strange ends of episodes, and strange answers of `reset` and `step`."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from clrl.envs.sequence import TaskSequence
from tests.clrl.worlds.point import GOALS, Point, Refused, Trains, tasks, world


class Endless(Point):
    def terminated(self) -> Any:
        return False

    def truncated(self) -> Any:
        return False


@world(Trains(said="1,?000"))
class NeverEnds(Endless):
    """Cut after max_episode_steps, 1,000 without another word."""


@world(Trains(said="15"), max_episode_steps=15)
class NeverEndsButIsCutAfterFifteenSteps(Endless):
    pass


@world(Trains(said="15"), learner="ppo", max_episode_steps=15)
class NeverEndsForPPO(Endless):
    pass


@world(Trains())
def a_time_limit_by_hand(goal: float) -> gym.Env:
    return gym.wrappers.TimeLimit(Endless(goal), 15)


gym.register("StrangePoint-v0", f"{__name__}:Endless", max_episode_steps=15)


@tasks(Trains())
def a_time_limit_of_its_specification(seed: int) -> TaskSequence:
    makers = [partial(gym.make, "StrangePoint-v0", goal=goal) for goal in GOALS.values()]
    return TaskSequence(makers, 40)


@tasks(Trains())
def a_time_limit_that_was_unwrapped(seed: int) -> TaskSequence:
    """Its specification still speaks of the limit."""
    makers = [lambda: gym.make("StrangePoint-v0").unwrapped]
    return TaskSequence(makers, 40, max_episode_steps=20)


@tasks(Trains())
def a_time_limit_that_is_turned_off(seed: int) -> TaskSequence:
    makers = [partial(gym.make, "StrangePoint-v0", max_episode_steps=-1)]
    return TaskSequence(makers, 40, max_episode_steps=20)


@world(Trains(), max_episode_steps=50)
class IsOverAfterOneStep(Point):
    def terminated(self) -> Any:
        return True


@world(Trains())
class EndsAtRandom(Point):
    def terminated(self) -> Any:
        return self.np_random.random() < 0.1


@world(Trains())
class EndsByBothFlagsAtOnce(Point):
    def terminated(self) -> Any:
        return self.steps == self.limit


@world(Trains())
class EndsByTruncationOnly(Point):
    def terminated(self) -> Any:
        return False


@world(Trains())
class EndsByTerminationOnly(Point):
    def terminated(self) -> Any:
        return self.steps == 7

    def truncated(self) -> Any:
        return False


@world(Trains())
class EndsByNumPysBooleans(Point):
    def terminated(self) -> Any:
        return np.bool_(self.distance < 0.05)

    def truncated(self) -> Any:
        return np.bool_(self.steps == self.limit)


@world(Trains(), Refused("terminated|truncated"))
class EndsByWholeNumbers(Point):
    def terminated(self) -> Any:
        return 0

    def truncated(self) -> Any:
        return int(self.steps == self.limit)


@world(Trains(), Refused("terminated|truncated"))
class EndsByArraysOfOne(Point):
    def truncated(self) -> Any:
        return np.array([self.steps == self.limit])


@world(Trains(), Refused("terminated|truncated"))
class NoneForGoingOn(Point):
    def terminated(self) -> Any:
        return None


@world(Refused("terminated|truncated"))
class TextForAnEnd(Point):
    def truncated(self) -> Any:
        return "yes" if self.steps == self.limit else "no"  # both are true


@world(Refused("(?s)(left|task 0).*step|step.*(left|task 0)"))
class FourAnswersOfAStep(Point):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, info


@world(Refused("(?s)(left|task 0).*step|step.*(left|task 0)"))
class NoAnswerOfAStep(Point):
    def step(self, action: Any) -> Any:
        super().step(action)


@world(Refused("(?s)(left|task 0).*reset|reset.*(left|task 0)"))
class ResetWithoutInfo(Point):
    def reset(self, **how: Any) -> Any:
        return super().reset(**how)[0]


@world(Refused("(?s)(left|task 0).*(reset|info)|(reset|info).*(left|task 0)"))
class ResetWithNoneForInfo(Point):
    def reset(self, **how: Any) -> Any:
        return super().reset(**how)[0], None


@world(Refused("(?s)(left|task 0).*info|info.*(left|task 0)"))
class StepsWithNoneForInfo(Point):
    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], None


@world(Refused("(?s)(left|task 0).*seed|seed.*(left|task 0)"))
class ResetWithoutSeed(Point):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


@world(Refused("(?s)(left|task 0).*no such file"))
class ResetThatFails(Point):
    def reset(self, **how: Any) -> Any:
        raise OSError("no such file")


@world(Trains(), Refused("(?s)(left|task 0).*close"))
class CloseThatFails(Point):
    """As if it closed a window that was never opened."""

    def close(self) -> None:
        raise AttributeError("'NoneType' object has no attribute 'close'")


@world(Refused("(?s)(left|task 0).*the arm is broken"))
class AStepThatFails(Point):
    def move(self, action: Any) -> None:
        super().move(action)
        if self.steps == 7:
            raise RuntimeError("the arm is broken")
