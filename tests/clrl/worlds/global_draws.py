"""Draws from the generators that all of a process shares."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from tests.clrl.worlds.point import Point, Refused, Stops, Undone, world


@world(Refused("(?s)(left|task 0).*global|global.*(left|task 0)"))
class NumPysGlobalGenerator(Point):
    def noise(self) -> Any:
        return np.random.normal(size=2)  # noqa: NPY002


@world(Refused("(?s)(left|task 0).*global|global.*(left|task 0)"))
class NumPysGlobalGeneratorAtReset(Point):
    def start(self) -> Any:
        return np.random.uniform(-1, 1, 2)  # noqa: NPY002


@world(Refused("(?s)(left|task 0).*global|global.*(left|task 0)"))
class NumPysGlobalGeneratorSeededAtReset(Point):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            np.random.seed(seed)  # noqa: NPY002
        return super().reset(seed=seed)

    def noise(self) -> Any:
        return np.random.normal(size=2)  # noqa: NPY002


@world(Refused("(?s)(left|task 0).*global|global.*(left|task 0)"))
class PythonsGlobalGenerator(Point):
    def reward(self) -> Any:
        return -self.distance + random.random()


@world(Refused("(?s)(left|task 0).*global|global.*(left|task 0)"))
class TorchsGlobalGenerator(Point):
    def noise(self) -> Any:
        return torch.randn(2).numpy()


@world(Refused("(?s)(left|task 0).*(global|other)|(global|other).*(left|task 0)"))
class AGlobalDrawInTheConstructor(Point):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.pull = np.random.uniform(0, 0.3)  # noqa: NPY002


@world(Refused("(?s)(left|task 0).*(global|np_random)"), Undone("left|task 0|right"))
class AGlobalDrawAfterFifteenSteps(Point):
    limit = 30

    def noise(self) -> Any:
        return np.random.normal(size=2) if self.steps > 15 else np.zeros(2)  # noqa: NPY002


@world(Refused("(?s)(left|task 0).*(global|np_random)"), Undone("left|task 0|right"))
class AGlobalDrawNowAndThen(Point):
    def noise(self) -> Any:
        seldom = self.np_random.random() < 0.1
        return np.random.normal(size=2) if seldom else np.zeros(2)  # noqa: NPY002


@world(Refused("(?s)(left|task 0).*(global|np_random)"), Undone("left|task 0|right"))
class AGlobalDrawOfALateReward(Point):
    """No observation ever shows it."""

    limit = 30

    def reward(self) -> Any:
        return np.random.normal() if self.steps > 15 else 0.0  # noqa: NPY002


@world(
    Refused("(?s)(left|task 0).*(global|np_random)"), Undone("left|task 0|right|global"),
    Stops("(?s)(left|task 0).*draws from NumPy's global generator"),
)  # fmt: skip
class AGlobalDrawAfterTwentyFiveSteps(Point):
    """Later in an episode than anybody looks beforehand."""

    limit = 35

    def terminated(self) -> Any:
        return False

    def noise(self) -> Any:
        return np.random.normal(size=2) if self.steps > 25 else np.zeros(2)  # noqa: NPY002
