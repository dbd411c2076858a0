"""Named generators: a stream of draws for every seed and role."""

import json

import numpy as np

from clrl.agents import randomness
from clrl.agents.randomness import Streams, environment_seed, generator


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
