"""Calls for all seeds, in one thread or several."""

import ctypes
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clrl.agents.native.calls import Seeds, aligned


class Description(ctypes.Structure):
    _fields_ = [("floats", ctypes.c_int64)]


class Recorded:
    """In place of the compiled library: notes calls instead of computing."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.pause = 0.0

    def size(self, address: Any) -> int:
        return int(address._obj.floats)

    def function(self, address: Any, memory: Any, first: int, last: int, *more: Any) -> None:
        time.sleep(self.pause * first)
        rest = [pointer.value for pointer in more]
        self.calls.append((memory.value, first, last, rest, threading.get_ident()))

    def failing(self, address: Any, memory: Any, first: int, last: int) -> None:
        time.sleep(0.05 * first)
        self.calls.append((first, last))
        if first == 0:
            raise KeyboardInterrupt


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    library = Recorded()
    monkeypatch.setattr("clrl.agents.native.calls.library", lambda: library)
    return library


@pytest.fixture(autouse=True)
def one_thread_afterwards() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("seeds", "threads", "shares"),
    [
        (1, 3, [(0, 1)]),
        (4, 1, [(0, 4)]),
        (3, 3, [(0, 1), (1, 2), (2, 3)]),
        (5, 2, [(0, 2), (2, 5)]),
        (2, 7, [(0, 1), (1, 2)]),
    ],
)
def test_every_seed_is_computed_once(
    recorded: Recorded, seeds: int, threads: int, shares: list[tuple[int, int]]
) -> None:
    torch.set_num_threads(threads)
    Seeds(seeds).call("function", Description(40), "size", 7, 8)
    calls = sorted(recorded.calls, key=lambda call: call[1])
    assert [call[1:3] for call in calls] == shares
    assert all(call[3] == [7, 8] for call in calls)
    places = {call[0] for call in calls}
    assert len(places) == len(shares) and all(place % 64 == 0 for place in places)


def test_memory_is_kept_and_grows_with_the_batch(recorded: Recorded) -> None:
    seeds = Seeds(2)
    for floats in (40, 16, 1000):
        seeds.call("function", Description(floats), "size")
        memory = seeds._scratch[0]
        start = recorded.calls[-1][0] - memory.data_ptr()
        assert 0 <= start and start + 4 * floats <= 4 * len(memory)
    assert recorded.calls[0][0] == recorded.calls[1][0]


def test_memory_that_is_to_stay_is_for_all_seeds(recorded: Recorded) -> None:
    torch.set_num_threads(2)
    seeds, description = Seeds(3), Description(48)
    memory = seeds.memory_to_keep(description, "size")
    seeds.call_keeping("function", description, memory)
    assert {call[0] for call in recorded.calls} == {aligned(memory)}
    assert aligned(memory) + 4 * 3 * 48 <= memory.data_ptr() + 4 * len(memory)


def test_an_interrupted_call_waits_for_the_others(recorded: Recorded) -> None:
    torch.set_num_threads(3)
    with pytest.raises(KeyboardInterrupt):
        Seeds(3).call("failing", Description(16), "size")
    assert sorted(recorded.calls) == [(0, 1), (1, 2), (2, 3)]  # none still reads or writes


def test_aligned_addresses_begin_a_cache_line() -> None:
    base = torch.zeros(200)
    for start in range(20):
        address = aligned(base[start:])
        assert address % 64 == 0 and 0 <= address - base[start:].data_ptr() < 64
    assert aligned(SimpleNamespace(data_ptr=lambda: 128)) == 128  # type: ignore[arg-type]
