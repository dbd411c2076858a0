"""Strange rewards."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.clrl.worlds.point import Point, Refused, Stops, Trains, world


@world(Trains())
class RewardsInArraysOfOne(Point):
    def reward(self) -> Any:
        return np.array([-self.distance])


@world(Trains(), learner="ppo")
class RewardsInArraysOfTwoAxes(Point):
    def reward(self) -> Any:
        return np.array([[-self.distance]], np.float32)


@world(Trains())
class RewardsInArraysOfNoAxis(Point):
    def reward(self) -> Any:
        return np.array(-self.distance)


@world(Trains())
class RewardsInTensors(Point):
    def reward(self) -> Any:
        return torch.tensor(-self.distance)


@world(Trains())
class RewardsInTensorsOfOne(Point):
    def reward(self) -> Any:
        return torch.tensor([-self.distance])


@world(Trains(), Refused("(?s)(left|task 0).*reward"))
class RewardsWithGradients(Point):
    def reward(self) -> Any:
        return torch.tensor(-self.distance, requires_grad=True)


@world(Trains())
class WholeRewards(Point):
    def reward(self) -> Any:
        return int(self.distance < 1)


@world(Trains())
class TrueAndFalseForRewards(Point):
    def reward(self) -> Any:
        return self.distance < 1


@world(Trains())
class RewardsOfFloat32(Point):
    def reward(self) -> Any:
        return np.float32(-self.distance)


@world(Trains())
class RewardsOfFloat16(Point):
    def reward(self) -> Any:
        return np.float16(-self.distance)


@world(Trains(), Refused("reward"))
class RewardsInLists(Point):
    def reward(self) -> Any:
        return [-self.distance]


@world(Trains())
class LargeRewards(Point):
    def reward(self) -> Any:
        return -1e6 * self.distance


@world(Trains(performance=0.0))
class NoReward(Point):
    def reward(self) -> Any:
        return 0


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class NoneForAReward(Point):
    def reward(self) -> Any:
        return None


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class RewardsOfText(Point):
    def reward(self) -> Any:
        return str(-self.distance)


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class RewardsOfTwoNumbers(Point):
    def reward(self) -> Any:
        return np.array([-self.distance, 0.0])


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class RewardsOfNoNumbers(Point):
    def reward(self) -> Any:
        return np.zeros(0)


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class ComplexRewards(Point):
    def reward(self) -> Any:
        return complex(-self.distance)


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class RewardsInDictionaries(Point):
    def reward(self) -> Any:
        return {"distance": -self.distance}


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class NotANumber(Point):
    def reward(self) -> Any:
        return np.nan


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class AnInfiniteReward(Point):
    def reward(self) -> Any:
        return -np.inf if self.steps == 5 else 0.0


@world(Refused("(?s)(left|task 0).*reward|reward.*(left|task 0)"))
class NoneAtTheEnd(Point):
    def reward(self) -> Any:
        return None if self.steps == self.limit else 0.0


@world(Stops("(?s)reward.*task 0|(task 0|left).*reward"))
class NotANumberAtStepThirty(Point):
    limit = 35

    def reward(self) -> Any:
        return np.nan if self.steps == 30 else -self.distance


@world(Stops("(?s)reward.*(task 0|left)|(task 0|left).*reward"))
class TwoNumbersAtStepThirty(Point):
    limit = 35

    def reward(self) -> Any:
        return np.zeros(2) if self.steps == 30 else -self.distance


@world(Stops("(?s)reward.*(task 1|right)|(task 1|right).*reward"), learner="ppo")
class NotANumberInTheSecondTask(Point):
    limit = 35

    def reward(self) -> Any:
        return np.inf if self.steps == 30 and self.goal > 0 else -self.distance


class BlowsUp(Point):
    """It flags the step at which its simulation has blown up, as Meta-World's do here."""

    limit = 30
    at = 25

    def reward(self) -> Any:
        return np.nan if self.steps == self.at else -self.distance

    def info(self) -> Any:
        return {"sim_warning": True} if self.steps == self.at else {}


@world(Trains())
class ASimulationThatBlowsUp(BlowsUp):
    pass


@world(Trains(), learner="ppo")
class ASimulationThatBlowsUpForPPO(BlowsUp):
    pass


@world(Trains(), Refused("reward"))
class ASimulationThatBlowsUpAtOnce(BlowsUp):
    at = 5


@world(Trains(known=False), Stops("(?s)reward.*(task 0|left)|(task 0|left).*reward"))
class NotANumberInEvaluationsOnly(Point):
    """A task has 40 steps, so that its episodes in training never come to step 43."""

    limit = 45

    def terminated(self) -> Any:
        return False

    def reward(self) -> Any:
        return np.nan if self.steps == 43 else -self.distance


@world(Trains(known=False), Stops("(?s)reward.*(task 1|right)|(task 1|right).*reward"))
class InfiniteInEvaluationsOfTheOtherTask(Point):
    """Infinite at step 43 of the second task."""

    limit = 45

    def terminated(self) -> Any:
        return False

    def reward(self) -> Any:
        return np.inf if self.steps == 43 and self.goal > 0 else -self.distance


@world(Stops("observation|action"), Trains(known=False))
class ObservationsThatAreNotFiniteInEvaluationsOnly(Point):
    limit = 45

    def terminated(self) -> Any:
        return False

    def observation(self) -> Any:
        return super().observation() * (np.nan if self.steps == 43 else 1)
