"""The replay buffer, and the reservoir: a uniform sample of everything seen."""

import numpy as np
import pytest
from scipy.stats import chi2

from clrl.agents import randomness
from clrl.agents.methods.perfect_memory import PerfectMemory
from clrl.agents.randomness import generator
from clrl.agents.sac.replay import ReplayBuffer, ReservoirBuffer
from clrl.agents.transition import Transition
from tests.agents.tiny import fill, sac

COLUMNS, CAPACITY = 2_000, 5


def stream_item(i: int, columns: int) -> Transition:
    one = np.full((columns, 1), i, np.float32)
    never = np.zeros(columns, bool)
    return Transition(one, one, one[:, 0], one, never, never, [True] * columns)


def reservoir(columns: int, capacity: int = CAPACITY) -> ReservoirBuffer:
    rngs = [generator(s, randomness.REPLAY) for s in range(columns)]
    return ReservoirBuffer(columns, capacity, 1, 1, rngs)


def held(buffer: ReplayBuffer) -> np.ndarray:
    return buffer.arrays["reward"]


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


def test_every_item_is_kept_with_the_same_probability_at_any_time() -> None:
    buffer = reservoir(COLUMNS)
    for t in range(12):
        buffer.add(stream_item(t, COLUMNS), task=0)
        if t + 1 not in (6, 8, 12):
            continue
        items = t + 1
        share = CAPACITY / items
        counts = np.array([(held(buffer) == i).sum() for i in range(items)])
        assert counts.sum() == COLUMNS * CAPACITY
        # A column holds CAPACITY different items, so its counts are correlated by -1 / (items - 1).
        variance = COLUMNS * share * (1 - share) * items / (items - 1)
        statistic = ((counts - COLUMNS * share) ** 2).sum() / variance
        assert statistic < chi2.ppf(0.999, items - 1)


def test_while_there_is_room_a_reservoir_is_the_stream_in_order_and_draws_nothing() -> None:
    buffer, fifo = reservoir(2), ReplayBuffer(2, CAPACITY, 1, 1)
    before = [rng.bit_generator.state for rng in buffer.generators]
    for i in range(CAPACITY):
        for each in (buffer, fifo):
            each.add(stream_item(i, 2), task=0)
    assert held(buffer).tolist() == held(fifo).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert [rng.bit_generator.state for rng in buffer.generators] == before


def test_a_restored_reservoir_goes_on_bit_for_bit() -> None:
    buffer, other = reservoir(2), reservoir(2)
    for i in range(9):
        buffer.add(stream_item(i, 2), task=i // 5)
    other.load({name: t.clone() for name, t in buffer.state().items()})
    for rng, own in zip(other.generators, buffer.generators, strict=True):
        rng.bit_generator.state = own.bit_generator.state
    for i in range(9, 30):
        for each in (buffer, other):
            each.add(stream_item(i, 2), task=i // 5)
    assert held(buffer).tolist() == held(other).tolist()
    assert buffer.position.tolist() == [30, 30] and buffer.size.tolist() == [5, 5]


def test_batches_are_a_uniform_sample_of_what_is_held() -> None:
    agent = sac(method=PerfectMemory(), buffer_size=8)
    fill(agent, rows=20)
    rewards = agent.sample(8_000, randomness.REPLAY).reward[0].numpy()
    _, counts = np.unique(rewards, return_counts=True)
    assert len(counts) == 8
    assert ((counts - 1_000) ** 2 / 1_000).sum() < chi2.ppf(0.999, 7)


def test_a_transition_left_out_counts_as_seen_so_that_seeds_come_to_several_tasks_together() -> (
    None
):
    # Batches of several tasks are multiplied in another way, which rounds differently.
    buffer = reservoir(50, capacity=1)
    buffer.add(stream_item(0, 50), task=0)
    assert buffer.only_task() == 0
    buffer.add(stream_item(1, 50), task=1)
    assert set(buffer.arrays["task"].ravel().tolist()) == {0, 1}
    for one in (reservoir(1, capacity=1), ReplayBuffer(1, 1, 1, 1)):
        dropped = stream_item(1, 1)
        dropped.keep[0] = False
        one.add(stream_item(0, 1), task=0)
        one.add(dropped, task=1)
        assert held(one).tolist() == [[0]] and one.only_task() is None
