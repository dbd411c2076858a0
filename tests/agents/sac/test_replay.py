"""The replay buffer, and the reservoir: a uniform sample of everything seen."""

import copy
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.methods.perfect_memory import PerfectMemory
from clrl.agents.randomness import generator
from clrl.agents.sac.replay import Batch, ReplayBuffer, ReservoirBuffer
from clrl.agents.transition import Transition
from tests.agents.tiny import fill, sac, same_bits

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


# Rows are packed: what is read, stored and saved is what separate arrays would hold

D, A = 3, 2


class Separate:
    """What a buffer did when every field had an array of its own."""

    def __init__(self, n_seeds: int, capacity: int, dtype: Any):
        rows = (n_seeds, capacity)
        self.arrays: dict[str, np.ndarray] = {
            "obs": np.zeros((*rows, D), np.float32),
            "next_obs": np.zeros((*rows, D), np.float32),
            "action": np.zeros((*rows, A), np.float32),
            "reward": np.zeros(rows, np.float32),
            "done": np.zeros(rows, np.uint8),
            "task": np.zeros(rows, dtype),
        }

    def put(self, t: Transition, task: int | np.ndarray, rows: list[int | None]) -> None:
        values = (t.features, t.next_features, t.actions, t.rewards, t.ended)
        for s, row in enumerate(rows):
            if row is not None:
                for array, value in zip(self.arrays.values(), values, strict=False):
                    array[s, row] = value[s]
                self.arrays["task"][s, row] = task if isinstance(task, int) else task[s]


def random_transition(rng: np.random.Generator, n: int) -> Transition:
    obs, after = rng.normal(size=(2, n, D))
    ended, keep = rng.random(n) < 0.3, (rng.random(n) < 0.7).tolist()
    action, reward = rng.normal(size=(n, A)).astype(np.float32), rng.normal(size=n)
    return Transition(obs.astype(np.float32), action, reward, after, ended, ended, keep)


def noting(buffer: ReplayBuffer) -> list[int | None]:
    """Return a list that gets where each transition goes."""
    rows: list[int | None] = []
    plain = buffer.next_row

    def next_row(seed: int) -> int | None:
        rows.append(plain(seed))
        return rows[-1]

    buffer.next_row = next_row  # type: ignore[method-assign]
    return rows


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize("kind", ["fifo", "reservoir"])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_packed_rows_are_what_separate_arrays_would_hold(
    n_seeds: int, kind: str, dtype: Any
) -> None:
    rng, capacity = np.random.default_rng(n_seeds), 7
    size = (n_seeds, capacity, D, A)
    rngs = [generator(s, randomness.REPLAY) for s in range(n_seeds)]
    buffer: ReplayBuffer = (
        ReplayBuffer(*size, dtype) if kind == "fifo" else ReservoirBuffer(*size, rngs, dtype)
    )
    went, reference = noting(buffer), Separate(n_seeds, capacity, dtype)
    for i in range(40):
        most = 250 if dtype == np.uint8 else 30_000
        task = rng.integers(most, size=n_seeds) if i % 3 else int(rng.integers(most))
        transition = random_transition(rng, n_seeds)
        went.clear()
        buffer.add(transition, task)
        kept = iter(went)
        reference.put(transition, task, [next(kept) if k else None for k in transition.keep])
        for name, array in reference.arrays.items():
            assert np.array_equal(buffer.arrays[name], array)
            assert name == "done" or buffer.arrays[name].dtype == array.dtype
        index = rng.integers(capacity, size=(n_seeds, 4))
        rows = buffer.rows(index)
        assert rows.keys() == reference.arrays.keys()
        for name, array in reference.arrays.items():
            expected = np.stack([column[own] for column, own in zip(array, index, strict=True)])
            assert np.array_equal(rows[name].numpy(), expected)
        assert "task" not in buffer.rows(index, tasks=False)
    assert buffer.size.max() == capacity


def old_state(n_seeds: int = 2, filled: int = 6) -> dict[str, Tensor]:
    """Return a state as agents and checkpoints held it before rows were packed."""
    g, rows = torch.Generator().manual_seed(0), (n_seeds, filled)
    return {
        "obs": torch.randn(*rows, D, generator=g),
        "next_obs": torch.randn(*rows, D, generator=g),
        "action": torch.rand(*rows, A, generator=g),
        "reward": torch.randn(*rows, generator=g),
        "done": torch.randint(2, rows, generator=g).to(torch.uint8),
        "task": torch.randint(3, rows, generator=g).to(torch.uint8),
        "position": torch.tensor([6, 4]),
        "size": torch.tensor([6, 4]),
        "tasks": torch.tensor([[0, 1, 2]] * n_seeds),
    }


def test_a_state_is_what_it_was_before_rows_were_packed() -> None:
    old, buffer = old_state(), ReplayBuffer(2, 10, D, A)
    buffer.load(old)
    new = buffer.state()
    assert list(new) == list(old)
    assert all(same_bits(new[name], tensor) for name, tensor in old.items())
    assert all(not array[:, 6:].any() for array in buffer.arrays.values())


def test_a_state_shares_the_memory_of_the_rows_since_a_full_buffer_is_large() -> None:
    buffer = buffer_with(5)
    state = buffer.state()
    for name in ("obs", "next_obs", "action", "reward", "task"):
        assert np.shares_memory(state[name].numpy(), buffer.arrays[name])


def test_a_buffer_takes_memory_only_as_it_fills() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    buffer = ReplayBuffer(4, 10_000_000, 39, 4)  # 13 GB
    assert len(buffer.state()["obs"][0]) == 0
    assert process.memory_info().rss - before < 100e6


def test_a_deep_copy_reads_what_is_added_to_it() -> None:
    buffer = buffer_with(3)
    other = copy.deepcopy(buffer)
    one = np.full((2, 1), 7.0, np.float32)
    ended = np.zeros(2, bool)
    other.add(Transition(one, one, one[:, 0], one, ended, ended, [True, True]), task=0)
    assert other.rows(np.array([[3], [2]]))["obs"].tolist() == [[[7]], [[7]]]
    assert other.arrays["reward"][0, 3] == 7 and buffer.arrays["reward"][0, 3] == 0


@pytest.mark.parametrize("mixed", [False, True])
def test_a_batch_is_split_into_its_rows_in_order(mixed: bool) -> None:
    agent = sac(seeds=(0, 1), n_tasks=3)
    fill(agent)
    if mixed:
        fill(agent, task=1)
    batch = agent.sample(40, randomness.REPLAY)
    parts = batch.split(16)
    assert [part.reward.shape[1] for part in parts] == [16, 16, 8]
    for name, value in vars(batch).items():
        pieces = [getattr(part, name) for part in parts]
        if isinstance(value, Tensor):
            assert same_bits(torch.cat(pieces, 1), value)
        else:
            assert pieces == [value] * 3
    assert isinstance(batch.task, Tensor) == mixed
    assert batch.split(40)[0] is batch


def test_a_batch_of_views_has_the_losses_of_its_copy() -> None:
    agent = sac(seeds=(0, 1), hidden_sizes=(64, 64), batch_size=128)
    fill(agent)
    for batch in agent.sample(3 * 128, randomness.REPLAY).split(128):
        assert not batch.obs.is_contiguous()
        fields = {n: v.clone() if isinstance(v, Tensor) else v for n, v in vars(batch).items()}
        assert fields["obs"].is_contiguous()
        for name, loss in agent.losses(Batch(**fields)).items():
            assert same_bits(loss, agent.losses(batch)[name])
