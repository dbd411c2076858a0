"""Named generators and the replay buffer's draws."""

import doctest
import json

import numpy as np
import pytest

from clrl.agents import randomness
from clrl.agents.randomness import Streams, environment_seed, generator
from clrl.agents.replay import ReplayBuffer
from clrl.agents.transition import Transition


def test_roles_have_the_numbers_of_stored_runs() -> None:
    assert (randomness.WEIGHTS, randomness.ENVIRONMENT, randomness.EXPLORATION) == (0, 1, 2)
    assert (randomness.REPLAY, randomness.POLICY_NOISE, randomness.MINIBATCHES) == (3, 4, 5)
    assert (randomness.METHOD, randomness.EVALUATION) == (6, 7)


def test_a_generator_is_the_seed_sequence_of_seed_and_role() -> None:
    sequence = np.random.SeedSequence(entropy=5, spawn_key=(6, 1, 2))
    expected = np.random.default_rng(sequence).random(3)
    assert np.array_equal(generator(5, randomness.METHOD, 1, 2).random(3), expected)


def test_no_two_roles_tasks_and_seeds_share_a_stream() -> None:
    seen = {
        tuple(np.random.SeedSequence(seed, spawn_key=(role, task)).generate_state(4))
        for role in range(8)
        for task in range(20)
        for seed in range(20)
    }
    assert len(seen) == 8 * 20 * 20
    first = {generator(seed, role).random() for seed in range(20) for role in range(8)}
    assert len(first) == 160
    assert len({environment_seed(seed) for seed in range(1000)}) == 1000


def test_seed_zero_is_a_seed_like_any_other() -> None:
    assert generator(0, 0).random() == generator(0, 0).random()
    assert environment_seed(0) == environment_seed(0) != environment_seed(1)


def test_drawing_from_one_role_leaves_the_others_as_they_were() -> None:
    quiet, busy = Streams([0, 1]), Streams([0, 1])
    busy.normal(randomness.POLICY_NOISE, (100,))
    for role in set(range(8)) - {randomness.POLICY_NOISE, randomness.ENVIRONMENT}:
        assert np.array_equal(quiet.normal(role, (3,)), busy.normal(role, (3,)))


def test_a_seeds_draws_do_not_depend_on_the_others() -> None:
    both, alone = Streams([3, 9]), Streams([9])
    for _ in range(3):
        low, high = np.zeros(2), np.array([1.0, 5.0])
        assert np.array_equal(both.normal(3, (2, 5))[1:], alone.normal(3, (2, 5)))
        assert np.array_equal(both.uniform(2, low, high)[1:], alone.uniform(2, low, high))
        assert np.array_equal(both.integers(3, [4, 70], 9)[1:], alone.integers(3, [70], 9))


def test_a_state_survives_json_and_continues_bit_for_bit() -> None:
    streams, other = Streams([0, 1]), Streams([5, 6])
    streams.normal(3, (7,))
    streams.integers(3, [10, 10], 3)
    other.load_state(json.loads(json.dumps(streams.state())))
    assert other.state() == streams.state()
    assert np.array_equal(streams.normal(3, (4,)), other.normal(3, (4,)))
    assert np.array_equal(streams.integers(6, [10, 10], 3), other.integers(6, [10, 10], 3))


def buffer_with(rows: int, capacity: int = 10) -> ReplayBuffer:
    buffer = ReplayBuffer(2, capacity, 1, 1)
    for i in range(rows):
        one = np.full((2, 1), i, np.float32)
        ended, keep = np.array([0, 1]), [True, i % 2 == 0]
        buffer.add(Transition(one, one, one[:, 0], one + 1, ended, ended, keep), task=0)
    return buffer


def test_columns_have_their_own_write_index() -> None:
    buffer = buffer_with(5)
    assert buffer.size.tolist() == [5, 3] and buffer.position.tolist() == [5, 3]
    assert buffer.arrays["obs"][1, :3, 0].tolist() == [0, 2, 4]
    assert buffer.arrays["done"][:, 0].tolist() == [0, 1]


def test_rows_come_from_the_seeds_own_column() -> None:
    rows = buffer_with(5).rows(np.array([[4, 0], [2, 1]]))
    assert rows["obs"][..., 0].tolist() == [[4, 0], [4, 2]]
    assert rows["next_obs"][..., 0].tolist() == [[5, 1], [5, 3]]


def test_a_full_column_starts_again_at_its_beginning() -> None:
    buffer = buffer_with(13)
    assert buffer.size.tolist() == [10, 7] and buffer.position.tolist() == [3, 7]
    assert buffer.arrays["reward"][0].tolist() == [10, 11, 12, 3, 4, 5, 6, 7, 8, 9]


def test_a_buffers_state_goes_into_a_larger_one_but_not_a_smaller() -> None:
    state = buffer_with(8).state()
    larger = ReplayBuffer(2, 20, 1, 1)
    larger.load(state)
    assert larger.size.tolist() == [8, 4] and larger.only_task() == 0
    with pytest.raises(ValueError, match="buffer_size 5 is less than the stored 8 rows"):
        ReplayBuffer(2, 5, 1, 1).load(state)


def test_the_examples_in_the_documentation_work() -> None:
    assert doctest.testmod(randomness).failed == 0
