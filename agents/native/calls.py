"""Calls of compiled functions for all seeds, in one thread or several."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch
from torch import Tensor

from clrl.agents.native.library import library


class Seeds:
    """Calls `function(description, scratch, first, last, ...)` for all seeds of a learner.

    With several of torch's threads, and several seeds, each thread takes some of the seeds: ctypes
    releases Python's lock. Which one takes which changes no bit.

    Args:
        n: number of seeds.
    """

    def __init__(self, n: int):
        self.n, self._library = n, library()
        self._scratch: dict[int, Tensor] = {}

    def call(self, function: str, description: ctypes.Structure, size: str, *more: int) -> None:
        """Call a function, with scratch memory for one seed at a time.

        Args:
            function: its name.
            description: its first argument.
            size: name of the function that says how many floats of memory it needs.
            *more: addresses, its last arguments.
        """
        floats = getattr(self._library, size)(ctypes.byref(description))
        threads = self._threads()
        self._call(function, description, [self._memory(i, floats) for i in range(threads)], *more)

    def call_keeping(self, function: str, description: ctypes.Structure, memory: Tensor) -> None:
        """Call a function with memory for all seeds, which stays as the function leaves it."""
        address = ctypes.c_void_p(aligned(memory))
        self._call(function, description, [address] * self._threads())

    def memory_to_keep(self, description: ctypes.Structure, size: str) -> Tensor:
        """Return memory for all seeds."""
        floats = getattr(self._library, size)(ctypes.byref(description))
        return torch.empty(self.n * floats + 16)

    def _threads(self) -> int:
        return min(torch.get_num_threads(), self.n)

    def _call(
        self,
        function: str,
        description: ctypes.Structure,
        memory: Sequence[ctypes.c_void_p],
        *more: int,
    ) -> None:
        call, address = getattr(self._library, function), ctypes.byref(description)
        rest, threads = tuple(map(ctypes.c_void_p, more)), len(memory)
        if threads == 1:
            call(address, memory[0], 0, self.n, *rest)
            return
        bounds = [self.n * thread // threads for thread in range(threads + 1)]
        waiting = [
            _pool(os.getpid()).submit(call, address, own, first, last, *rest)
            for own, first, last in zip(memory, bounds[:-1], bounds[1:], strict=True)
        ]
        try:
            for done in waiting:
                done.result()
        finally:
            wait(waiting)  # after Ctrl-C, too: they read and write memory that is then freed

    def _memory(self, thread: int, floats: int) -> ctypes.c_void_p:
        """Return an address of so many floats, at the start of a cache line."""
        tensor = self._scratch.get(thread)
        if tensor is None or len(tensor) < floats + 16:
            tensor = self._scratch[thread] = torch.zeros(floats + 16)
        return ctypes.c_void_p(aligned(tensor))


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count())


def aligned(tensor: Tensor) -> int:
    """Return the address of a tensor's first cache line; it has 16 floats to spare."""
    start = tensor.data_ptr()
    return start + -start % 64
