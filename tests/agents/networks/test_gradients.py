"""Gradients of losses and penalties, what is measured of them, and where they go."""

import pytest
import torch

from clrl.agents import randomness
from clrl.agents.learner import MEASURE_EVERY
from clrl.agents.methods.l2 import L2
from tests.agents.tiny import after_a_task, fill, randomise, sac, same_bits, weights


def test_the_logged_gradient_norms_are_those_of_loss_and_penalty() -> None:
    agent = after_a_task(L2(coef=1e3))
    randomise(agent, 0.1)
    batch = agent.sample(None, randomness.REPLAY)
    agent.take_gradients(agent.losses(batch))
    own = torch.cat([agent.gradients()[n].flatten(1) for n in agent.protected_parameters()], 1)
    way = [
        (p.detach() - agent.method.state[f"anchor.{name}"]).flatten(1)
        for name, p in agent.protected_parameters().items()
    ]
    agent.update(batch)
    norms = agent.gradient_norms
    torch.testing.assert_close(norms["gradient/rl"], own.norm(dim=1))
    torch.testing.assert_close(norms["gradient/penalty"], 2e3 * torch.cat(way, 1).norm(dim=1))


def test_gradient_norms_are_measured_at_every_thousandth_update_and_change_nothing() -> None:
    measured, not_measured = sac(seeds=(0, 1)), sac(seeds=(0, 1))
    not_measured.n_updates = MEASURE_EVERY - 1
    for agent in (measured, not_measured):
        fill(agent)
        agent.update(agent.sample(None, randomness.REPLAY))
    assert MEASURE_EVERY == 1_000 and not_measured.gradient_norms == {}
    assert measured.gradient_norms["gradient/rl"].shape == (2,)
    found, expected = weights(measured), weights(not_measured)
    assert all(same_bits(found[name], expected[name]) for name in expected)
    not_measured.update(not_measured.sample(None, randomness.REPLAY))
    assert not_measured.gradient_norms.keys() == {"gradient/rl"}


@pytest.mark.parametrize("update", ["auto", "torch"])
def test_gradients_go_where_they_are_asked_for_and_nowhere_else(update: str) -> None:
    agent = sac(seeds=(4, 9), update=update)
    fill(agent)
    batch = agent.sample(None, randomness.REPLAY)
    losses = agent.gradients_of(batch)
    own = {part: optimizer.grad.clone() for part, optimizer in agent.optimizers.items()}
    for optimizer in agent.optimizers.values():
        optimizer.grad.fill_(7.0)
    into = {"critic": torch.zeros_like(own["critic"])}
    again = agent.gradients_of(batch, into)
    assert all(same_bits(losses[part], again[part]) for part in losses)
    views, expected = (
        agent.optimizers["critic"].parameters.views(flat)
        for flat in (into["critic"], own["critic"])
    )
    assert all(same_bits(views[name], expected[name]) for name in views)
    assert all(bool((o.grad == 7.0).all()) for o in agent.optimizers.values())
    assert not any(loss.requires_grad for loss in again.values())


def test_hidden_activations_come_with_the_gradients_on_either_path() -> None:
    agents = [sac(seeds=(4, 9), update=update) for update in ("auto", "torch")]
    found: list[dict[str, list[torch.Tensor]]] = []
    for agent in agents:
        fill(agent)
        found.append({})
        agent.gradients_of(agent.sample(None, randomness.REPLAY), hidden=found[-1])
    rows = agents[0].settings.batch_size
    for part, lead in (("actor", (2,)), ("critic", (2, 2))):
        shapes = [(*lead, rows, units) for units in agents[0].settings.hidden_sizes]
        assert [tuple(layer.shape) for layer in found[0][part]] == shapes
        for one, other in zip(found[0][part], found[1][part], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
