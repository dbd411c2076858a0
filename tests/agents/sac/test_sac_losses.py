"""Losses and gradients of SAC against a plain implementation, one seed at a time in float64."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.replay import Batch
from tests.agents.plain import Weights, network, weights_of
from tests.agents.tiny import fill, randomise, sac


def act(w: Weights, x: Tensor, tasks: list[int], noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return squashed actions and their log-probabilities, by the change of variables."""
    n = noise.shape[-1]
    y = network(w, x, tasks, 2 * n)
    mean, std = y[:, :n], y[:, n:].clamp(-20, 2).exp()
    u = mean + std * noise
    normal = torch.distributions.Normal(mean, std).log_prob(u).sum(-1)
    log_cosh = torch.logaddexp(u, -u) - math.log(2.0)  # tanh's derivative is 1 / cosh^2
    return torch.tanh(u), normal + 2.0 * log_cosh.sum(-1)


def expected(agent: ContinualSAC, batch: Batch, s: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return losses of one seed and the weights they depend on."""
    actor, alpha = weights_of(agent, "actor", s), weights_of(agent, "alpha", s)
    critics = [weights_of(agent, "critic", s, j) for j in (0, 1)]
    targets = [weights_of(agent, "target", s, j) for j in (0, 1)]
    n = batch.obs.shape[1]
    tasks = [batch.task] * n if isinstance(batch.task, int) else batch.task[s].tolist()
    obs, next_obs, action, reward, done, noise, next_noise = (
        x[s].double()
        for x in (
            batch.obs,
            batch.next_obs,
            batch.action,
            batch.reward,
            batch.done,
            batch.noise,
            batch.next_noise,
        )
    )
    if not agent.settings.hide_task_id:
        one_hot = torch.eye(agent.n_tasks).double()[tasks]
        obs, next_obs = torch.cat([obs, one_hot], 1), torch.cat([next_obs, one_hot], 1)

    def q(w: Weights, x: Tensor, a: Tensor) -> Tensor:
        return network(w, torch.cat([x, a], 1), tasks, 1)[:, 0]

    log_alpha = torch.stack([alpha["value"][task] for task in tasks])
    with torch.no_grad():
        next_action, next_log_prob = act(actor, next_obs, tasks, next_noise)
        next_q = torch.minimum(*[q(w, next_obs, next_action) for w in targets])
        y = reward + 0.99 * (1 - done) * (next_q - log_alpha.exp() * next_log_prob)
    new_action, log_prob = act(actor, obs, tasks, noise)
    new_q = torch.minimum(*[q(w, obs, new_action) for w in critics])
    entropy = agent.settings.target_output_std
    wanted = noise.shape[-1] * float(torch.distributions.Normal(0.0, entropy).entropy())
    losses = {
        "actor": (log_alpha.detach().exp() * log_prob - new_q).mean(),
        "critic": sum((0.5 * (q(w, obs, action) - y) ** 2).mean() for w in critics),
        "alpha": -(log_alpha * (log_prob.detach() + wanted)).mean(),
    }
    return losses, {"actor": actor, "critic": critics, "alpha": alpha}  # type: ignore[return-value]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    "settings", [{}, {"hide_task_id": False}, {"multi_head": False, "hide_task_id": False}]
)
def test_losses_and_gradients_are_those_of_plain_torch(mixed: bool, settings: dict) -> None:
    agent = sac(seeds=(0, 1), **settings)
    randomise(agent)
    fill(agent, 60)
    if mixed:
        fill(agent, 60, task=1)
    batch = agent.sample(None, randomness.REPLAY)
    losses = agent.losses(batch)
    agent.take_gradients(losses)
    for s in range(2):
        wanted, parts = expected(agent, batch, s)
        for part, loss in wanted.items():
            assert float(losses[part][s].detach()) == pytest.approx(float(loss.detach()), rel=1e-5)
            optimizer = agent.optimizers[part]
            ours = optimizer.parameters.views(optimizer.grad)
            copies = parts[part] if part == "critic" else [parts[part]]
            for j, w in enumerate(copies):
                gradients = torch.autograd.grad(loss, list(w.values()), retain_graph=True)
                for name, gradient in zip(w, gradients, strict=True):
                    mine = ours[name][s, j] if part == "critic" else ours[name][s]
                    scale = float(gradient.abs().max()) + 1e-12
                    worst = float((mine.double() - gradient).abs().max()) / scale
                    assert worst < 3e-5, f"{part}.{name}"
