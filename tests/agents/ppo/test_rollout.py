"""Advantages, minibatches and the ring of rollouts."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from clrl.agents.ppo.rollout import Rollout, advantages

GAMMA, LAMBDA = 0.99, 0.95


def filled(rows: int, n_seeds: int = 2, n_steps: int = 8, **columns: Any) -> Rollout:
    """Return rollouts whose observations are the row's number."""
    rollout = Rollout(n_seeds, n_steps, 1, 1)
    for t in range(rows):
        row: dict[str, Any] = {"reward": 1.0, "value": 0.5, "log_prob": 0.0, "over": 0, "kept": 1}
        row |= {"task": 0, "action": 0.0, "obs": np.full((n_seeds, 1), t)}
        rollout.add(**row | {name: column[..., t] for name, column in columns.items()})
        if rollout.full:
            rollout.finish(np.zeros(n_seeds, np.float32), GAMMA, LAMBDA, False)
            rollout.advance()
    return rollout


def floats(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_the_published_example_has_these_advantages() -> None:
    reward, value = floats([1.0, 2.0, 3.0]), floats([0.5, 0.4, 0.3])
    over, last = np.array([[0, 1, 0]]), np.array([0.2], np.float32)
    kept = np.ones((1, 3))
    found = advantages(reward, value, over, kept, last, GAMMA, LAMBDA)
    assert found[0] == pytest.approx([2.4008, 1.6, 2.898], abs=1e-6)
    rollout = Rollout(1, 3, 1, 1)
    for t in range(3):
        about: dict[str, Any] = {"reward": reward[:, t], "value": value[:, t], "over": over[:, t]}
        rollout.add(obs=np.zeros((1, 1)), action=0, log_prob=0, task=0, kept=1, **about)
    rollout.finish(last, GAMMA, LAMBDA, normalise=True)
    assert rollout.arrays["returns"][0, :3] == pytest.approx([2.9008, 2.0, 3.198], abs=1e-6)
    normalised = [0.1545296, -1.0682695, 0.9137400]
    assert rollout.arrays["advantage"][0, :3] == pytest.approx(normalised, abs=1e-6)


def test_advantages_are_those_of_stable_baselines_bit_for_bit() -> None:
    rng, n, steps = np.random.default_rng(0), 3, 50
    reward, value = rng.normal(size=(2, n, steps)).astype(np.float32)
    over, last = rng.random((n, steps)) < 0.2, rng.normal(size=n).astype(np.float32)
    box = gym.spaces.Box(-1, 1, (1,))
    theirs = RolloutBuffer(steps, box, box, "cpu", LAMBDA, GAMMA, n)
    before = np.zeros(n, bool)
    for t in range(steps):
        torch_value = torch.from_numpy(value[:, t])
        theirs.add(np.zeros((n, 1)), np.zeros(n), reward[:, t], before, torch_value, torch_value)
        before = over[:, t]
    theirs.compute_returns_and_advantage(torch.from_numpy(last), before)
    found = advantages(reward, value, over, np.ones((n, steps)), last, GAMMA, LAMBDA)
    assert np.array_equal(found.T, theirs.advantages)


def test_no_estimate_passes_a_row_that_was_left_out() -> None:
    reward, value = floats([1.0, 9.0, 2.0]), floats([0.5, 0.4, 0.3])
    kept, last = np.array([[1, 0, 1]]), np.array([0.2], np.float32)
    found = advantages(reward, value, np.zeros((1, 3)), kept, last, GAMMA, LAMBDA)
    assert found[0] == pytest.approx([1 + 0.99 * 0.4 - 0.5, 0, 2 + 0.99 * 0.2 - 0.3], abs=1e-6)


def test_minibatches_go_through_each_seeds_rows_once_in_its_own_order() -> None:
    rollout = filled(7)
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    parts = list(rollout.minibatches(3, rngs))
    assert [part.shape for part in parts] == [(2, 3), (2, 3), (2, 1)]
    first, second = np.concatenate(parts, axis=1).tolist()
    assert sorted(first) == sorted(second) == list(range(7)) and first != second
    alone = np.concatenate(list(rollout.minibatches(3, [np.random.default_rng(1)] * 2)), axis=1)
    assert alone[0].tolist() == second


def test_a_row_left_out_is_never_in_a_minibatch() -> None:
    kept = np.array([[0, 0, 1, 1, 0, 0, 1], [1] * 7])
    rollout = filled(7, kept=kept)
    assert rollout.stand_ins().tolist() == [[2, 2, 2, 3, 3, 3, 6], list(range(7))]
    rollout.finish(np.zeros(2, np.float32), GAMMA, LAMBDA, False)
    assert [rows.tolist() for rows in rollout.of_task(0)] == [[2, 3, 6], list(range(7))]


def test_normalised_advantages_have_mean_zero_and_deviation_one() -> None:
    reward = np.random.default_rng(0).normal(size=(2, 7))
    rollout = filled(7, reward=reward)
    rollout.finish(np.zeros(2, np.float32), GAMMA, LAMBDA, normalise=True)
    found = rollout.arrays["advantage"][:, :7].astype(np.float64)
    assert found.mean(1) == pytest.approx([0, 0], abs=1e-6)
    assert found.std(1, ddof=1) == pytest.approx([1, 1], abs=1e-6)


def test_the_last_rollouts_stay_readable_until_they_are_overwritten() -> None:
    def readable(rollout: Rollout) -> list[int]:
        (rows, _) = rollout.of_task(0)
        found = rollout.rows(np.stack([rows, rows]))["obs"][0, :, 0]
        return sorted(int(number) for number in found)

    assert readable(filled(7)) == []
    assert readable(filled(11)) == list(range(8))
    assert readable(filled(16)) == list(range(16))
    assert readable(filled(19)) == list(range(3, 16))


def test_rows_of_each_task_are_found() -> None:
    rollout = filled(8, task=np.array([0, 0, 0, 1, 1, 1, 1, 1]))
    assert [rows.tolist() for rows in rollout.of_task(1)] == [list(range(3, 8))] * 2
    assert filled(3).only_task() == 0
    assert filled(4, task=np.array([0, 0, 1, 1])).only_task() is None


def test_a_stored_rollout_goes_on_where_it_was() -> None:
    rollout, other = filled(11), Rollout(2, 8, 1, 1)
    other.load(rollout.state())
    assert (other.start, other.position) == (8, 3)
    assert all(np.array_equal(rollout.arrays[name], other.arrays[name]) for name in other.arrays)
    with pytest.raises(ValueError, match="n_steps is 6; the stored rollouts have 8"):
        Rollout(2, 6, 1, 1).load(rollout.state())
