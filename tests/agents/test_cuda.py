"""The same agent on a GPU; skipped where there is none."""

from typing import Any

import pytest
import torch

from clrl.agents.methods import METHODS
from clrl.agents.randomness import REPLAY
from tests.agents.tiny import fill, finite_seeds, method, ppo, randomise, sac

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("make", [sac, ppo])
def test_every_method_trains_on_a_gpu(make: Any, name: str) -> None:
    if make is ppo and "ppo" in METHODS[name].refusals():
        pytest.skip(f"{name} does not work on PPO")
    agent = make(None, method(name), (0, 1), device="cuda")
    agent.learn(120)
    agent.end_task()
    assert all(flat.flat.is_cuda for flat in agent.flats.values())
    assert all(finite_seeds(agent))
    restored = make(None, method(name), (0, 1), device="cuda")
    restored.load_state_dict(agent.state_dict())
    assert all(finite_seeds(restored))


def test_losses_and_gradients_on_a_gpu_are_those_on_the_cpu() -> None:
    losses, gradients = [], []
    for device in ("cpu", "cuda"):
        agent = sac(None, seeds=(0, 1), device="cpu")
        randomise(agent)
        fill(agent)
        state = agent.state_dict()
        moved = sac(None, seeds=(0, 1), device=device)
        moved.load_state_dict(state)
        batch = moved.sample(64, REPLAY)
        found = moved.losses(batch)
        moved.take_gradients(found)
        losses.append({part: loss.detach().cpu() for part, loss in found.items()})
        gradients.append({part: o.grad.cpu() for part, o in moved.optimizers.items()})
    for part in losses[0]:
        torch.testing.assert_close(losses[0][part], losses[1][part], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradients[0][part], gradients[1][part], rtol=1e-5, atol=1e-5)
