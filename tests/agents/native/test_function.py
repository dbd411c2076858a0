"""A compiled network inside of torch's graphs: outputs, gradients, batches of any size."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents.native.function import outputs
from clrl.agents.native.network import MAX_ROWS
from clrl.agents.native.path import unavailable
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import fill, randomise, sac

pytestmark = pytest.mark.skipif(
    unavailable("cpu") is not None, reason=f"no compiled update: {unavailable('cpu')}"
)


def agent_of(**settings: Any) -> ContinualSAC:
    agent = sac(seeds=(0, 1, 2), update="native", **settings)
    randomise(agent)
    return agent


def gradients(agent: ContinualSAC, said: Tensor) -> list[Tensor]:
    pull = torch.linspace(-1.0, 1.0, said.numel()).view(said.shape)
    slots = [parameter for parameter, _ in agent.flats["actor"].gradient_slots]
    return list(torch.autograd.grad([said], slots, [pull]))


@pytest.mark.parametrize("rows", [1, 7, MAX_ROWS + 3])
@pytest.mark.parametrize("mixed", [False, True])
def test_outputs_and_gradients_are_those_of_torch_for_any_number_of_rows(
    rows: int, mixed: bool
) -> None:
    agent = agent_of()
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(3, rows, 3, generator=rng)
    task = torch.randint(0, 2, (3, rows), generator=rng) if mixed else 1
    ours, theirs = outputs(agent.actor, agent.flats["actor"], x, task), agent.actor(x, task)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)
    for a, b in zip(gradients(agent, ours), gradients(agent, theirs), strict=True):
        assert (a - b).norm() <= 5e-6 * b.norm()


def test_a_large_batch_is_predicted_by_compiled_code_and_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    agent = agent_of()
    fill(agent)
    passes: list[Any] = []
    agent.actor.passes = passes
    agent.output_distributions(agent.sample(2 * MAX_ROWS + 1, 6, 0))
    assert [len(made.x[0]) for made, _ in passes] == [MAX_ROWS, MAX_ROWS, 1]
    assert not recwarn.list


def test_inputs_that_lie_across_memory_are_copied() -> None:
    agent = agent_of()
    x = torch.randn(3, 3, 7).mT
    said = outputs(agent.actor, agent.flats["actor"], x, 0)
    assert torch.equal(said, outputs(agent.actor, agent.flats["actor"], x.contiguous(), 0))
