"""Randomness that does not come from `np_random`, or cannot be stored."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import numpy as np
import torch

from tests.clrl.worlds.point import Point, Refused, Trains, Undone, world

# The generators of np_random: all of NumPy's can be stored and set.


class Seeded(Point):
    bits: Any

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.np_random = self.bits(seed)
        return super().reset(options=options)


def of(kind: Any) -> Any:
    return staticmethod(lambda seed: np.random.Generator(kind(seed)))


@world(Trains())
class MersenneTwister(Seeded):
    bits = of(np.random.MT19937)


@world(Trains())
class Philox(Seeded):
    bits = of(np.random.Philox)


@world(Trains())
class SmallFastChaotic(Seeded):
    bits = of(np.random.SFC64)


@world(Trains(), learner="ppo")
class PermutedCongruential(Seeded):
    bits = of(np.random.PCG64DXSM)


@world(Trains())
class GaussiansInHalves(Seeded):
    """PCG64 keeps half of a draw of 32 bits."""

    bits = of(np.random.PCG64)

    def noise(self) -> Any:
        return self.np_random.standard_normal(2, dtype=np.float32) * self.np_random.integers(2)


@world(Refused("(?s)(left|task 0).*np_random|np_random.*(left|task 0)"))
class RandomStates(Seeded):
    bits = np.random.RandomState

    def noise(self) -> Any:
        return self.np_random.normal(size=2)


# Generators of its own.


class Own(Point):
    own: np.random.Generator

    def noise(self) -> Any:
        return self.own.normal(size=2)


@world(Refused("left|task 0"))
class AnOwnGeneratorWithoutSeed(Own):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.own = np.random.default_rng()


@world(Refused("left|task 0"))
class AnOwnGeneratorOfAFixedSeed(Own):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.own = np.random.default_rng(7)


@world(Refused("(?s)(left|task 0).*np_random|np_random.*(left|task 0)"))
class AnOwnGeneratorAcrossEpisodes(Own):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.own = np.random.default_rng(seed)
        return super().reset(seed=seed)


@world(Refused("left|task 0"))
class PythonsGeneratorAcrossEpisodes(Point):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.own = random.Random(seed)
        return super().reset(seed=seed)

    def noise(self) -> Any:
        return np.array([self.own.gauss(0, 1), self.own.gauss(0, 1)])


@world(Trains())
class AnOwnGeneratorMadeAtEveryReset(Own):
    def start(self) -> Any:
        self.own = np.random.default_rng(int(self.np_random.integers(2**32)))
        return super().start()


@world(Trains())
class AnOwnGeneratorOfAFixedSeedAtEveryReset(Own):
    def start(self) -> Any:
        self.own = np.random.default_rng(7)
        return super().start()


@world(Refused("left|task 0"))
class AnOwnGeneratorWithoutSeedAtEveryReset(Own):
    def start(self) -> Any:
        self.own = np.random.default_rng()
        return super().start()


@world(Refused("left|task 0"))
class TorchsGeneratorAcrossEpisodes(Point):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.own = torch.Generator().manual_seed(seed)
        return super().reset(seed=seed)

    def noise(self) -> Any:
        return torch.randn(2, generator=self.own).numpy()


# Seeds that are not taken.


@world(Trains())  # what it draws from is seeded for it
class TheSeedIsIgnored(Point):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(options=options)


@world(Trains())
class TheSeedIsIgnoredAndNothingIsRandom(Point):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(options=options)

    def start(self) -> Any:
        return np.array([1.0, -1.0])

    def noise(self) -> Any:
        return 0.0


@world(Trains())
class NothingIsRandom(Point):
    def start(self) -> Any:
        return np.array([1.0, -1.0])

    def noise(self) -> Any:
        return 0.0


@world(Trains())
class ADrawInTheConstructorOfAFixedSeed(Point):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.pull = np.random.default_rng(3).uniform(0, 0.3)


@world(Refused("left|task 0"))
class ADrawInTheConstructorWithoutSeed(Point):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.pull = np.random.default_rng().uniform(0, 0.3)


@world(Refused("(?s)(left|task 0)"))
class AnUnseededDrawInTheConstructorForRewards(Point):
    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.scale = np.random.default_rng().uniform(1, 2)

    def reward(self) -> Any:
        return -self.distance * self.scale


# What is not random and still never the same.


@world(Refused("left|task 0"))
class TheTimeOfDay(Point):
    def noise(self) -> Any:
        return time.time() % 1.0


@world(Refused("left|task 0"))
class TheStopwatchInTheReward(Point):
    def reward(self) -> Any:
        return -self.distance + time.perf_counter() % 1.0


@world(Refused("left|task 0"))
class TheOperatingSystemsRandomness(Point):
    def noise(self) -> Any:
        return os.urandom(1)[0] / 256


@world(Refused("left|task 0"))
class TheObjectsAddress(Point):
    def noise(self) -> Any:
        return (id(self) // 16) % 997 / 997


@world(Undone("left|task 0|world"))
class TheProcess(Point):
    """Two objects agree, and two processes do not."""

    def noise(self) -> Any:
        return os.getpid() % 997 / 997


@world(Undone("left|task 0|world"))
class TheProcessInTheReward(Point):
    def reward(self) -> Any:
        return os.getpid() % 997 / 997


@world(Refused("left|task 0"))
class AListOfAllObjects(Point):
    """Shared by all objects of the class."""

    episodes: list[int] = []

    def start(self) -> Any:
        self.episodes.append(1)
        return super().start() / (1 + len(self.episodes) % 7)
