"""Examples of old tasks, in a method's state."""

import torch
from torch import Tensor

from clrl.agents import memory
from clrl.agents.randomness import METHOD, generator
from tests.agents.tiny import fill, sac


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


def test_a_memory_holds_copies_of_its_own_in_the_types_of_earlier_ones() -> None:
    # A batch's fields are views into replay rows, of which an end takes four bytes.
    agent, state = sac(seeds=(0, 1)), dict[str, Tensor]()
    fill(agent)
    for task in range(2):
        batch = agent.sample(30, METHOD, 0)
        memory.remember(state, agent.rows_of(batch), task)
        assert torch.equal(state["memory.obs"][:, 30 * task :], batch.obs)
    kept = memory.examples(state)
    assert list(kept) == ["obs", "next_obs", "action", "reward", "done", "task"]
    assert {name for name, tensor in kept.items() if tensor.dtype == torch.uint8} == {
        "done",
        "task",
    }
    assert all(tensor.is_contiguous() for tensor in kept.values())
    again = agent.batch_of(memory.draw(state, 60, agent.generators(METHOD)), METHOD)
    assert again.done.dtype == torch.float32 and again.obs.shape == (2, 60, 3)
    assert torch.equal(again.done.sum(1), kept["done"].sum(1).float())
