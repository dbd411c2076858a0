"""A world that keeps the contract is told from one that does not, whatever breaks it."""

# ruff: noqa: NPY002 - worlds that draw from global generators are what is tried

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.wrappers import (
    FrameStackObservation,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    TimeAwareObservation,
    TimeLimit,
    TransformObservation,
)

from clrl.envs.contract.probe import differing_numbers, probe
from clrl.envs.contract.shared import shared_states
from tests.envs.walk import Walk


class Noisy(Walk):
    """Rewards get noise from somewhere."""

    def __init__(self, noise: Callable[[], float], **settings: Any) -> None:
        super().__init__(**settings)
        self.noise = noise

    def step(self, action: np.ndarray) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + float(self.noise()), *rest


class Unseeded(Walk):
    """Passes no seed on: it gets a seeded generator all the same."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=None)


class Elsewhere(Walk):
    """Keeps a generator of its own, seeded by the first reset only."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            self.own = np.random.default_rng(seed)
        super().reset(seed=seed)
        self.point = self.own.normal(size=self.size)
        return self.point, {}


class Remade(Walk):
    """Makes a generator of its own from `np_random` at every reset."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.own = np.random.default_rng(int(self.np_random.integers(2**31)))
        self.point = self.own.normal(size=self.size)
        return self.point, {}


class Legacy(Walk):
    """Draws from NumPy's old generator."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None or not hasattr(self, "steps"):
            self.np_random: Any = np.random.RandomState(seed)
        self.steps, self.point = 0, self.np_random.normal(size=self.size)
        return self.point, {}


class Mersenne(Walk):
    """Draws from a generator of another kind than Gymnasium's."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed is not None:
            self.np_random = np.random.Generator(np.random.MT19937(seed))
        self.steps, self.point = 0, self.np_random.normal(size=self.size)
        return self.point, {}


class Drifting(Walk):
    """Gravity grows with every step that was ever taken."""

    ever = 0

    def step(self, action: np.ndarray) -> Any:
        self.ever += 1
        self.point = self.point + 0.01 * self.ever
        return super().step(action)


class Greedy(Walk):
    """Changes its action, and the observation that it gave."""

    def step(self, action: np.ndarray) -> Any:
        action *= 0.5
        self.point *= 0.5
        return super().step(action)


def flat_stack(env: gym.Env) -> gym.Env:
    space = Box(-np.inf, np.inf, (4,), np.float64)
    return TransformObservation(FrameStackObservation(env, 2), np.ravel, space)


@pytest.mark.parametrize(
    "maker",
    [
        Walk, partial(Walk, terminates=True), lambda: Walk(length=1), Remade, Mersenne, Greedy,
        Unseeded,
        lambda: TimeLimit(Walk(length=10**9), 7), lambda: Walk(length=10**9),
        lambda: RecordEpisodeStatistics(Walk()), lambda: TimeAwareObservation(TimeLimit(Walk(), 4)),
        lambda: flat_stack(Walk()), partial(gym.make, "Pendulum-v1", g=2.0),
        partial(gym.make, "Hopper-v5"),
    ],
)  # fmt: skip
def test_a_world_that_keeps_the_contract_passes(maker: Callable[[], gym.Env]) -> None:
    before = shared_states()
    numbers = probe(maker, "task 0 (it)")
    assert len(numbers["rewards"]) == len(numbers["observations"]) == len(numbers["ends"]) >= 22
    assert differing_numbers(numbers, probe(maker, "task 0 (it)")) is None
    assert shared_states() == before


@pytest.mark.parametrize(
    ("maker", "message"),
    [
        (lambda: Noisy(np.random.normal), "draws from NumPy's global generator"),
        (lambda: Noisy(random.random), "draws from Python's global generator"),
        (lambda: Noisy(lambda: torch.rand(1).item()), "draws from torch's global generator"),
        (lambda: Noisy(lambda: np.random.seed(0) or 0.0), "draws from NumPy's global generator"),
        (lambda: Noisy(np.random.default_rng().normal), "two new objects with the same seed"),
        (lambda: Noisy(time.perf_counter), "two new objects with the same seed"),
        (lambda: Noisy(partial(id, object())), "two new objects with the same seed"),
        (Elsewhere, "cannot be continued.*no generators"),
        (Drifting, "cannot be continued.*in Drifting or its wrappers .none.: no statistics, no c"),
        (lambda: NormalizeObservation(Walk()), "cannot be continued.*.NormalizeObservation."),
        (lambda: NormalizeReward(Walk()), "cannot be continued.*.NormalizeReward."),
        (Legacy, "np_random is RandomState.*cannot be stored"),
        (lambda: Noisy(lambda: float("nan")), "a number of the reward at step 1 is not finite"),
        (lambda: Noisy(lambda: float("inf")), "a number of the reward at step 1 is not finite"),
        (lambda: Noisy(lambda: [][0]), "step fails: IndexError"),
    ],
)
def test_a_world_that_breaks_it_is_refused(maker: Callable[[], gym.Env], message: str) -> None:
    before = shared_states()
    with pytest.raises(ValueError, match=f"task 3 .its name.*{message}"):
        probe(maker, "task 3 (its name)")
    assert shared_states() == before


class BlowingUp(Walk):
    """Pays NaN in a step whose simulation blew up, and says so."""

    def step(self, action: np.ndarray) -> Any:
        observation, _, *ends, info = super().step(action)
        return observation, float("nan"), *ends, {**info, "sim_warning": True}


def test_what_a_simulation_that_blew_up_pays_may_be_anything() -> None:
    assert set(probe(BlowingUp, "w")["rewards"]) == {0.0}


def bounded(low: float, high: float) -> gym.Env:
    env = Walk(length=10**9)
    env.observation_space = Box(low, high, (2,), np.float64)
    return env


def test_a_space_holds_what_comes() -> None:
    probe(partial(bounded, -100.0, 100.0), "w")
    for low, high in ((-1.0, 1.0), (0.0, np.inf), (-np.inf, 0.0)):
        with pytest.raises(ValueError, match="w: the observation at .* is not in Box"):
            probe(partial(bounded, low, high), "w")


def test_an_object_is_given_once() -> None:
    one = Walk()
    for maker in (lambda: one, lambda: TimeLimit(one, 5)):
        with pytest.raises(ValueError, match="w: its maker gives an object that was given before"):
            probe(maker, "w")
    objects = [Walk() for _ in range(9)]
    seen: list[Any] = []
    probe(iter(objects).__next__, "w", others=seen)
    with pytest.raises(ValueError, match="v: .*given before"):
        probe(iter(objects).__next__, "v", others=seen)


@pytest.mark.parametrize(
    ("what", "change", "text"),
    [
        ("rewards", 2e-3, "reward 2.002 instead of 2"),
        ("rewards", 1e-5, None),
        ("ends", 1, "end 1 instead of 0"),
        ("observations", np.array([0.0, 1e-7]), "observation 1e-07 instead of 0"),
        ("observations", np.array([90.0, 0.0]), None),
        ("observations", np.array([110.0, 0.0]), "observation 1.00011e+06 instead of 1e+06"),
    ],
)
def test_numbers_agree_to_a_ten_thousandth_of_their_size(
    what: str, change: Any, text: str | None
) -> None:
    one: dict[str, list[Any]] = {"rewards": [2.0, 0.0] * 5, "ends": [0] * 10, "successes": []}
    one["observations"] = [[1e6, 1e-5 * row] for row in range(10)]
    other = {key: list(values) for key, values in one.items()}
    other[what][0] = (np.array(other[what][0]) + change).tolist()
    assert differing_numbers(other, one) == text
    assert differing_numbers({**one, "ends": [0] * 9}, one) == "ends of 9 numbers instead of 10"


def test_every_number_of_a_long_observation_counts() -> None:
    def long(place: int) -> gym.Env:
        env = Walk(length=10**9)
        env.observation_space = Box(-np.inf, np.inf, (1_000,), np.float64)
        bright = np.zeros(1_000)
        bright[place] = 1.0
        env.step = lambda action: (bright, 0.0, False, False, {})  # type: ignore[method-assign]
        env.size = 1_000
        return env

    one = probe(partial(long, 500), "w")
    assert len(one["observations"][0]) == 128
    for place in (3, 499, 501, 502, 999):
        assert differing_numbers(one, probe(partial(long, place), "w")) is not None
    assert differing_numbers(one, probe(partial(long, 500), "w")) is None
