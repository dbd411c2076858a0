"""A small world whose every part can be made strange, and the table of all that are.

A decorator enters a world under its name, with what must come of it:

    @world(Refused("reward"))
    class RewardOfNone(Point):
        def reward(self):
            return None
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from clrl.config.evaluation import Evaluation
from clrl.envs.sequence import TaskSequence

GOALS = {"left": -0.5, "right": 0.5}
"""The tasks, by name."""
STEPS_PER_TASK = 40


class Point(gym.Env):
    """A noisy point that is to be held at the goal. 12 steps; it insists on its protocol."""

    observation_space: gym.Space = Box(-4.0, 4.0, (3,))
    action_space: gym.Space = Box(-1.0, 1.0, (2,))
    pull = 0.1
    """Towards the origin: nothing shows it, it can only be felt."""
    limit = 12
    closed = True
    """Whether no episode is running."""

    def __init__(self, goal: float = 0.5) -> None:
        self.goal = goal

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps, self.closed = 0, False
        self.place = self.start()
        return self.observation(), self.info()

    def step(self, action: Any) -> Any:
        assert not self.closed, "there is no step without an episode"
        self.steps += 1
        self.move(action)
        ends = self.terminated(), self.truncated()
        self.closed = any(end is not None and bool(end) for end in ends)
        return self.observation(), self.reward(), *ends, self.info()

    def start(self) -> np.ndarray:
        return self.np_random.uniform(-1.0, 1.0, 2)

    def move(self, action: Any) -> None:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        force = np.resize(action, 2).astype(np.float64)
        moved = self.place + 0.3 * force - self.pull * self.place + 0.1 * self.noise()
        self.place = np.clip(moved, -2.0, 2.0)

    def noise(self) -> Any:
        return self.np_random.normal(size=2)

    @property
    def distance(self) -> float:
        return float(np.abs(self.place - self.goal).mean())

    def observation(self) -> Any:
        return np.array([*self.place, self.goal], dtype=np.float32)

    def reward(self) -> Any:
        return -self.distance

    def terminated(self) -> Any:
        return self.distance < 0.05

    def truncated(self) -> Any:
        return self.steps == self.limit

    def info(self) -> Any:
        return {"success": self.distance < 0.3}


@dataclass(frozen=True)
class Trains:
    """It trains, and killed and continued it ends with the same bytes.

    Attributes:
        score: what the table's row is measured by.
        performance: what the row says; None for any number.
        known: whether the table can have a row; else it names the run, and says what is missing.
        said: what the run must say of it.
    """

    score: str = "return"
    performance: float | None = None
    known: bool = True
    said: str = ""


@dataclass(frozen=True)
class Refused:
    """A sentence says what is wrong before anything is written."""

    sentence: str


@dataclass(frozen=True)
class Stops:
    """What is wrong comes too late for a look beforehand: training stops, always at that step."""

    sentence: str


@dataclass(frozen=True)
class Undone:
    """What is wrong shows when a killed run is continued: a sentence refuses it."""

    sentence: str


Outcome = Trains | Refused | Stops | Undone


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        make: makes the tasks of a seed.
        expected: what may come of it.
        learner: "sac" or "ppo".
        seeds: of the run.
        settings: of the learner, instead of the usual ones.
        evaluation: when and how tasks are evaluated.
    """

    make: Callable[[int], TaskSequence]
    expected: tuple[Outcome, ...]
    learner: str = "sac"
    seeds: tuple[int, ...] = (0,)
    settings: dict[str, Any] = field(default_factory=dict)
    evaluation: Evaluation = Evaluation(2, stochastic_episodes=1, deterministic_episodes=0)

    def allows(self, kind: type[Outcome]) -> bool:
        return any(isinstance(outcome, kind) for outcome in self.expected)

    def only(self, kind: type[Any]) -> Any:
        """The expected outcome of a kind."""
        (outcome,) = [outcome for outcome in self.expected if isinstance(outcome, kind)]
        return outcome


WORLDS: dict[str, Case] = {}
"""All strange worlds, by what they are."""

Made = TypeVar("Made", bound=Callable[..., Any])


def world(
    *expected: Outcome,
    learner: str = "sac",
    seeds: Sequence[int] = (0,),
    **settings: Any,
) -> Callable[[Made], Made]:
    """Enters a world, or a function(goal) that makes one; settings are those of the sequence."""

    def enter(kind: Made) -> Made:
        make = partial(two_tasks, kind, settings)
        enter_case(kind.__name__, Case(make, expected, learner, tuple(seeds)))
        return kind

    return enter


def tasks(*expected: Outcome, **case: Any) -> Callable[[Made], Made]:
    """Enters a function(seed) that makes a sequence."""

    def enter(make: Made) -> Made:
        enter_case(make.__name__, Case(make, expected, **case))
        return make

    return enter


def enter_case(name: str, case: Case) -> None:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    words = spaced.replace("_", " ").lower().replace("num py", "numpy")
    assert words not in WORLDS, words
    WORLDS[words] = case


def two_tasks(kind: Callable[[float], gym.Env], settings: dict[str, Any], seed: int = 0) -> Any:
    """Left, then right."""
    makers = [partial(kind, goal) for goal in GOALS.values()]
    return TaskSequence(makers, STEPS_PER_TASK, list(GOALS), **settings)
