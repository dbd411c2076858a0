"""A-GEM: the projection, its reference gradient, and the memory it is taken on."""

import numpy as np
import torch
from torch import Tensor

from clrl.agents import memory
from clrl.agents.methods.agem import AGEM, project
from clrl.agents.randomness import METHOD
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import fill, randomise, sac, same_bits

SEEDS = (0, 1, 2, 3)


def agent_of(seeds: tuple[int, ...] = SEEDS) -> ContinualSAC:
    """Return an agent in its second task, that remembers the first."""
    method = AGEM(memory_per_task=30, memory_batch_size=20)
    agent = sac(method=method, seeds=seeds, hidden_sizes=(32, 32))
    randomise(agent)
    agent.start_task(0)
    fill(agent)
    agent.end_task()
    agent.start_task(1)
    agent.buffer.clear()
    fill(agent, task=1)
    return agent


def test_the_worked_example() -> None:
    nan = float("nan")
    gradients = [[1.0, -2, 0], [1, 2, -0.0], [-1, -1, -1], [1, -2, 0], [nan, 1, 1], [1, -2, 0]]
    reference = [[1.0, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1], [nan, 1, 1]]
    g, r = torch.tensor(gradients), torch.tensor(reference)
    before, parts = g.clone(), [g[:, :1].clone(), g[:, 1:].clone()]
    violated = project(parts, [r[:, :1], r[:, 1:]])
    after = torch.cat(parts, 1)
    assert violated.tolist() == [True, False, True, False, False, False]
    torch.testing.assert_close(after[0], torch.tensor([4 / 3, -5 / 3, 1 / 3]))
    assert after[2].tolist() == [0, 0, 0]
    for kept in (1, 3, 4, 5):
        assert same_bits(after[kept], before[kept])


def reference_of(agent: ContinualSAC) -> dict[str, Tensor]:
    """Return the gradient that the next update compares with; the streams are put back."""
    streams = agent.streams.state()
    assert isinstance(agent.method, AGEM)
    rows = memory.draw(agent.method.state, 20, agent.generators(METHOD))
    losses = agent.losses(agent.batch_of(rows, METHOD))
    agent.streams.load_state(streams)
    result: dict[str, Tensor] = {}
    for part in ("actor", "critic"):
        names, parameters = zip(*getattr(agent, part).named_parameters(), strict=True)
        gradients = torch.autograd.grad(losses[part].sum(), parameters)
        result |= {f"{part}.{n}": g for n, g in zip(names, gradients, strict=True)}
    return result


def gradients_of(agent: ContinualSAC, parts: tuple[str, ...]) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": gradient.clone()
        for part in parts
        for name, gradient in zip(
            agent.flats[part].slots,
            [g for _, g in agent.flats[part].gradient_slots],
            strict=True,
        )
    }


def per_seed(gradients: dict[str, Tensor]) -> Tensor:
    """Return all numbers of each seed, in double precision: [S, n]."""
    return torch.cat([g.flatten(1).double() for _, g in sorted(gradients.items())], 1)


def test_actor_and_critics_together_never_point_against_the_old_tasks() -> None:
    agent, noise = agent_of(), torch.Generator().manual_seed(3)
    for optimizer in agent.optimizers.values():
        optimizer.grad.copy_(torch.randn(optimizer.grad.shape, generator=noise))
    reference = per_seed(reference_of(agent))
    alpha = gradients_of(agent, ("alpha",))["alpha.value"]
    before = per_seed(gradients_of(agent, ("actor", "critic")))
    agent.method.adjust_gradients()
    after = per_seed(gradients_of(agent, ("actor", "critic")))
    dots, norms = (before * reference).sum(1), reference.norm(dim=1)
    violated = dots < 0
    assert 0 < violated.sum() < len(SEEDS), "the draw should show both cases"
    assert torch.equal(after[~violated], before[~violated])
    expected = before - (dots / norms.square()).unsqueeze(1) * reference
    torch.testing.assert_close(after[violated], expected[violated], rtol=1e-4, atol=1e-5)
    left = (after * reference).sum(1).abs() / (after.norm(dim=1) * norms)
    assert bool((left[violated] < 1e-6).all())
    assert bool((after.norm(dim=1) <= before.norm(dim=1)).all())
    assert same_bits(gradients_of(agent, ("alpha",))["alpha.value"], alpha)
    assert torch.equal(agent.method.report()["violations"], violated.float())


def test_nothing_happens_in_the_first_task() -> None:
    agent = sac(method=AGEM())
    agent.learn(40)
    assert agent.method.report()["violations"].tolist() == [0.0]
    assert agent.method.state["updates"].tolist() == [0]


def test_the_violation_rate_is_that_of_the_current_task() -> None:
    agent = agent_of()
    for _ in range(3):
        agent.update(agent.sample(None, METHOD))
    assert agent.method.state["updates"].tolist() == [3] * 4
    rates = agent.method.report()["violations"]
    assert torch.equal(rates, agent.method.state["violations"] / 3)
    agent.method.on_task_start(2)
    assert agent.method.report()["violations"].tolist() == [0.0] * 4


def test_a_memory_takes_a_byte_for_an_end_where_the_buffer_takes_four_and_is_in_no_snapshot() -> (
    None
):
    agent = agent_of((0,))
    held = {n: t for n, t in agent.method.state.items() if n.startswith(memory.PREFIX)}
    rows = memory.examples(held).values()
    per_row = sum(t[0, 0].numel() * t.element_size() for t in rows)
    assert len(rows) == len(held) - 1  # but for the tasks that ended
    assert per_row == sum(a[0, 0].nbytes for a in agent.buffer.arrays.values()) - 3
    assert not any(memory.PREFIX in name for name in agent.policy_state())
    assert {f"method.{name}" for name in held} <= agent.state_dict()["tensors"].keys()


def test_examples_come_from_the_whole_task() -> None:
    agent = sac(method=AGEM(memory_per_task=2_000))
    fill(agent, rows=40)
    agent.end_task()
    _, counts = np.unique(agent.method.state["memory.reward"], return_counts=True)
    assert len(counts) == 40 and ((counts - 50) ** 2 / 50).sum() < 72.1  # chi^2, 0.1 %
