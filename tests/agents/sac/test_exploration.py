"""Exploration with the heads of old tasks."""

from typing import Any

import numpy as np
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.methods.cloning import ClonEx
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.exploration import BestReturn
from clrl.agents.transition import Transition
from tests.agents.tiny import HORIZON, sac


def step(rewards: list[float], over: list[bool], keep: list[bool] | None = None) -> Transition:
    n = len(rewards)
    none = np.zeros((n, 1))
    return Transition(
        none, none, np.array(rewards), none, np.zeros(n), np.array(over), keep or [True] * n
    )


def test_every_old_head_plays_once_and_then_the_best_one_of_each_seed() -> None:
    best = BestReturn(2, 4)
    returns = [[1.0, 5.0, 3.0], [4.0, 2.0, 0.0]]  # of heads 0 to 2, for each seed
    played = []
    for _ in range(5):
        heads = best.heads([0, 1, 2]).tolist()
        played.append(heads)
        for last in (False, True):
            half = [returns[s][head] / 2 for s, head in enumerate(heads)]
            best.observe(step(half, [last, last]))
    assert played == [[0, 0], [1, 1], [2, 2], [1, 0], [1, 0]]


def test_the_best_head_is_that_of_the_mean_return_and_may_change() -> None:
    best = BestReturn(1, 2)
    for earned, head in zip([4.0, 3.0, -2.0, 3.0], [0, 1, 0, 1], strict=True):
        assert best.heads([0, 1]).tolist() == [head]
        best.observe(step([earned], [True]))
    assert best.heads([0, 1]).tolist() == [1]  # means 1 and 3


def test_a_seed_whose_episode_ends_early_goes_on_alone_and_a_broken_step_earns_nothing() -> None:
    best = BestReturn(2, 3)
    assert best.heads([0, 1]).tolist() == [0, 0]
    best.observe(step([1.0, float("nan")], [False, True], keep=[True, False]))
    assert best.heads([0, 1]).tolist() == [0, 1]
    best.observe(step([1.0, 9.0], [True, False]))
    assert best.heads([0, 1]).tolist() == [1, 1]
    assert best.arrays["returns"].tolist() == [[2, 0, 0], [0, 0, 0]]


class Watched(ContinualSAC):
    """Remembers the heads that act."""

    acted: list[Any]

    def act_on_features(
        self, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        heads = task if isinstance(task, int) else task.flatten().tolist()
        self.acted = [*getattr(self, "acted", []), heads]
        return super().act_on_features(features, task, noise)


def watched() -> Watched:
    """Return an agent that is about to start its third task."""
    plain = sac(n_tasks=3, steps_per_task=45, seeds=(0, 1))
    small = {"memory_per_task": 10, "memory_batch_size": 5}
    settings: dict[str, Any] = {"batch_size": 16, "exploration_steps": 4 * HORIZON}
    settings |= {"learning_starts": 10, "train_freq": 5, "gradient_steps": 1, "buffer_size": 100}
    agent = Watched(
        plain.get_env(), ClonEx(**small), seeds=(0, 1), hidden_sizes=(16, 16), **settings,
        device="cpu",
    )  # fmt: skip
    uniform = sac(n_tasks=3, steps_per_task=45, seeds=(0, 1))
    agent.learn(45)
    uniform.learn(21)
    # The first task starts with the same random actions as any other agent's.
    assert agent.acted == [0] * 8
    assert np.array_equal(
        agent.buffer.arrays["action"][:, :21], uniform.buffer.arrays["action"][:, :21]
    )
    agent.learn(45)
    agent.acted = []
    return agent


def test_a_task_starts_with_old_heads_and_goes_on_with_its_own() -> None:
    agent = watched()
    drawn = [rng.bit_generator.state for rng in agent.generators(randomness.EXPLORATION)]
    agent.learn(45)
    assert agent.acted[: 2 * HORIZON] == [[0, 0]] * HORIZON + [[1, 1]] * HORIZON
    assert agent.acted[-8:] == [2] * 8 and len(agent.acted) == 45
    for s in range(2):
        rewards, tasks = (agent.buffer.arrays[name][s] for name in ("reward", "task"))
        assert tasks[:45].tolist() == [2] * 45  # what old heads did is data of the new task
        means = [rewards[k * HORIZON : (k + 1) * HORIZON].sum() for k in range(2)]
        third = {heads[s] for heads in agent.acted[2 * HORIZON : 3 * HORIZON]}
        assert third == {int(np.argmax(means))}
    state = [rng.bit_generator.state for rng in agent.generators(randomness.EXPLORATION)]
    assert state == drawn
    assert agent.report["exploration/head"].tolist() == agent.acted[4 * HORIZON]


def test_what_old_heads_earned_is_saved_and_taken_and_a_new_task_forgets_it() -> None:
    agent = watched()
    agent.learn(HORIZON + 4)
    other = watched()
    other.load_state_dict(agent.state_dict())
    alone = agent.take(1)
    assert agent.old_heads and other.old_heads and alone.old_heads
    for name, array in agent.old_heads.arrays.items():
        assert np.array_equal(array, other.old_heads.arrays[name])
        assert np.array_equal(array[1:], alone.old_heads.arrays[name])
    assert agent.old_heads.arrays["episodes"].tolist() == [[1, 0, 0]] * 2
    assert agent.old_heads.arrays["head"].tolist() == [1, 1]
    agent.reset_for_task()
    assert agent.old_heads.arrays["episodes"].sum() == 0
