"""Examples of old tasks, in a method's state."""

import torch
from torch import Tensor

from clrl.agents import memory
from clrl.agents.randomness import METHOD, generator


def test_a_memory_grows_by_every_task_and_is_drawn_from_without_replacement() -> None:
    state: dict[str, Tensor] = {"updates": torch.zeros(2)}
    rngs = [generator(seed, METHOD) for seed in range(2)]
    assert memory.size(state) == 0
    for task in range(3):
        values = torch.arange(20).view(2, 10) + 100 * task
        tasks = torch.full((2, 10), task, dtype=torch.uint8)
        memory.remember(state, {"value": values, "task": tasks}, task)
    assert memory.size(state) == 30 and state["memory.task"].dtype == torch.uint8
    rows = memory.draw(state, 12, rngs)
    assert rows.keys() == {"value", "task"} and rows["value"].shape == (2, 12)
    assert all(len(set(row.tolist())) == 12 for row in rows["value"])
    assert torch.equal(rows["value"] // 100, rows["task"].long())
    assert torch.equal((rows["value"] % 100) // 10, torch.tensor([[0], [1]]).expand(2, 12))
    every = memory.draw(state, 1_000, rngs)["value"]
    assert torch.equal(every.sort(1).values, state["memory.value"].sort(1).values)
