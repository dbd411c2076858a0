"""Strange observations, and those that their space does not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from tests.clrl.worlds.point import Point, Refused, Stops, Trains, world


@world(Trains())
class ObservationsOfFloat64InFloat32(Point):
    def observation(self) -> Any:
        return np.array([*self.place, self.goal])


@world(Trains())
class ObservationsOfFloat64(Point):
    observation_space = Box(-4.0, 4.0, (3,), np.float64)

    def observation(self) -> Any:
        return np.array([*self.place, self.goal])


@world(Trains())
class ObservationsOfFloat16(Point):
    observation_space = Box(-4.0, 4.0, (3,), np.float16)

    def observation(self) -> Any:
        return np.array([*self.place, self.goal], np.float16)


@world(Trains())
class UnboundedObservations(Point):
    observation_space = Box(-np.inf, np.inf, (3,))


@world(Trains())
class ObservationsOfWholeNumbers(Point):
    observation_space = Box(-100, 100, (3,), np.int32)

    def observation(self) -> Any:
        return (10 * np.array([*self.place, self.goal])).astype(np.int32)


@world(Refused("observation_space.*(Box|ax[ei]s)"))
class Images(Point):
    observation_space = Box(0, 255, (8, 8, 3), np.uint8)

    def observation(self) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


@world(Refused("observation_space.*(Box|ax[ei]s)"))
class ObservationsOfTwoAxes(Point):
    observation_space = Box(-4.0, 4.0, (1, 3))

    def observation(self) -> Any:
        return super().observation()[None]


@world(Refused("observation_space.*Discrete"))
class DiscreteObservations(Point):
    observation_space = Discrete(8)

    def observation(self) -> Any:
        return 3


@world(Refused("observation_space.*Dict"))
class NamedObservations(Point):
    observation_space = Dict(place=Box(-4.0, 4.0, (2,)), goal=Box(-1.0, 1.0, (1,)))

    def observation(self) -> Any:
        return {"place": self.place.astype(np.float32), "goal": np.array([self.goal], np.float32)}


@world(Refused("observation_space.*Tuple"))
class ObservationsInTuples(Point):
    observation_space = Tuple([Box(-4.0, 4.0, (2,)), Discrete(2)])

    def observation(self) -> Any:
        return self.place, 1


@world(Refused("observation_space"))
class EmptyObservations(Point):
    observation_space = Box(-1.0, 1.0, (0,))

    def observation(self) -> Any:
        return np.zeros(0, np.float32)


# Observations that their space does not hold.


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class ObservationsOutsideTheirSpace(Point):
    observation_space = Box(-0.01, 0.01, (3,))


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class AShortObservationAtReset(Point):
    def reset(self, **how: Any) -> Any:
        observation, info = super().reset(**how)
        return observation[:2], info


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class AnObservationOfTwoAxesAtStepFive(Point):
    def observation(self) -> Any:
        return super().observation()[None] if self.steps == 5 else super().observation()


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class OneNumberForThree(Point):
    def observation(self) -> Any:
        return self.distance


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class OneNumberInAnArrayForThree(Point):
    def observation(self) -> Any:
        return np.array([self.distance], np.float32)


@world(Stops("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class AShortObservationAtStepThirty(Point):
    limit = 35

    def observation(self) -> Any:
        return super().observation()[: 3 if self.steps < 30 else 1]


@world(Stops("observation.*seed 0.*task 0|task 0.*observation"), Refused("observation"))
class AnObservationThatIsNotFiniteAtStepThirty(Point):
    limit = 35

    def observation(self) -> Any:
        return super().observation() * (1 if self.steps < 30 else np.nan)


@world(Refused("(?s)(left|task 0).*finite|finite.*(left|task 0)"))
class AnInfiniteObservation(Point):
    observation_space = Box(-np.inf, np.inf, (3,))

    def observation(self) -> Any:
        return super().observation() * (1 if self.steps < 5 else np.inf)


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class ObservationsOfObjects(Point):
    def observation(self) -> Any:
        return super().observation().astype(object)


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class ComplexObservations(Point):
    def observation(self) -> Any:
        return super().observation() + 0.5j


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class ObservationsOfText(Point):
    def observation(self) -> Any:
        return super().observation().astype(str)


@world(Refused("(?s)(left|task 0).*observation|observation.*(left|task 0)"))
class ObservationsOfNone(Point):
    def observation(self) -> Any:
        return None


@world(Trains(), Refused("observation.*list"))
class ObservationsInLists(Point):
    def observation(self) -> Any:
        return super().observation().tolist()


@world(Trains(), Refused("observation.*[Tt]ensor"))
class ObservationsInTensors(Point):
    def observation(self) -> Any:
        return torch.from_numpy(super().observation())


@world(Trains())
class OneArrayForAllObservations(Point):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.shown = np.zeros(3, np.float32)

    def observation(self) -> Any:
        self.shown[:] = [*self.place, self.goal]
        return self.shown


@world(Trains())
class ThePlaceItselfIsShown(Point):
    """What was shown changes when the world moves on."""

    observation_space = Box(-4.0, 4.0, (2,), np.float64)

    def observation(self) -> Any:
        return self.place

    def move(self, action: Any) -> None:
        before = self.place
        super().move(action)
        before[:] = self.place
        self.place = before
