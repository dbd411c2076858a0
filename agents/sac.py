"""Soft actor-critic with a seed axis, as Continual World trains it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clrl.agents import randomness
from clrl.agents.adam import FlatParameters, SeedAdam
from clrl.agents.agent import Agent
from clrl.agents.learner import Gaussian, report_names
from clrl.agents.networks import HeadedNetwork, frozen, full_precision
from clrl.agents.replay import Batch, ReplayBuffer
from clrl.agents.settings import SACSettings
from clrl.agents.transition import Transition

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return tanh(mean + std * noise) and its log-probability.

    Args:
        mean: [..., A].
        log_std: [..., A].
        noise: standard normal [..., A].

    Returns:
        Actions [..., A] and log-probabilities [...]. The correction for tanh is exact for large
        arguments too: log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)).
    """
    u = torch.addcmul(mean, log_std.exp(), noise)
    normal = -0.5 * noise.square() - log_std - _LOG_SQRT_2PI
    correction = 2.0 * (math.log(2.0) - u - _softplus(-2.0 * u))
    return torch.tanh(u), (normal - correction).sum(-1)


def _softplus(x: Tensor) -> Tensor:
    # torch's own rounds the last few elements of a tensor differently from the others, so that a
    # seed's loss would depend on how many seeds stand beside it.
    return x.clamp(min=0.0) + torch.log1p(torch.exp(-x.abs()))


def target_entropy(action_dim: int, output_std: float) -> float:
    """Return the entropy of a Gaussian of this standard deviation in every action dimension."""
    return action_dim * math.log(output_std * math.sqrt(2.0 * math.pi * math.e))


class _LogAlpha(nn.Module):
    """The log entropy coefficient of every task: [S, tasks]."""

    def __init__(self, n_seeds: int, n_tasks: int):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(n_seeds, n_tasks))

    def of(self, task: int | Tensor) -> Tensor:
        """Return the coefficients of a batch: [S, 1], or [S, B] for task ids [S, B]."""
        if isinstance(task, int):
            return self.value[:, task : task + 1]
        return self.value.gather(1, task)


class ContinualSAC(Agent):
    """SAC for a sequence of tasks (Haarnoja et al. 2018, arXiv 1812.05905), S seeds in lockstep.

    The variant is Continual World's (arXiv 2105.10919; continualworld/sac/sac.py): heads and an
    entropy coefficient per task, and gradients of actor and critics taken at the same parameters.
    It differs from the original code in that every part has its own Adam with its own step count
    and a task change really starts a fresh one (there: one Adam, moments zeroed, count kept), and
    in that the log-probability uses the drawn noise itself where the original divides
    (u - mean) by (std + 1e-8).

    Args: see `Agent`; settings are those of `SACSettings`, each also a keyword.

    Example:
        >>> import gymnasium
        >>> agent = ContinualSAC(gymnasium.make("Pendulum-v1"), hidden_sizes=(16, 16))
        >>> agent.learn(10).num_timesteps
        10
    """

    name: ClassVar[str] = "sac"
    settings_class: ClassVar[type] = SACSettings
    settings: SACSettings

    def build(self) -> None:
        """Make networks, entropy coefficients and replay buffer."""
        s, lead = self.settings, (self.n_seeds,)
        heads = self.n_tasks if s.multi_head else 1
        inputs = self.spaces.feature_dim + (0 if s.hide_task_id else self.spaces.one_hot_dim)
        shape, a = (heads, s.hidden_sizes, s.layer_norm), self.spaces.action_dim
        self.actor = HeadedNetwork(lead, inputs, 2 * a, *shape)
        twins = (self.n_seeds, 2)
        self.critic = HeadedNetwork(twins, inputs + a, 1, *shape)
        self.target_critic = HeadedNetwork(twins, inputs + a, 1, *shape)
        self.log_alpha = _LogAlpha(self.n_seeds, self.n_tasks)
        self._draw_weights()
        for network in (self.actor, self.critic, self.target_critic, self.log_alpha):
            network.to(self.device)
        self.buffer = ReplayBuffer(self.n_seeds, s.buffer_size, self.spaces.feature_dim, a)
        self.target_entropy = target_entropy(a, s.target_output_std)
        self.max_grad_norm = s.max_grad_norm

    def _draw_weights(self) -> None:
        rngs, a = self.generators(randomness.WEIGHTS), self.spaces.action_dim
        # Continual World has one layer for the mean and one for the deviation, each a * heads wide.
        self.actor.initialise(rngs, head_fan_out=a * self.actor.heads)
        self.critic.initialise(rngs, head_fan_out=self.critic.heads)
        self.log_alpha.value.data.fill_(self.settings.initial_log_alpha)

    def reinitialise(self) -> None:
        """Draw fresh weights, empty the buffer, forget the optimizers' moments."""
        self._draw_weights()
        self.flats["target"].flat.copy_(self.flats["critic"].flat)
        self.buffer.clear()
        self.reset_optimizers()

    def make_optimizers(self) -> None:
        """One Adam each for actor, critics and entropy coefficients."""
        s, twins = self.settings, (self.n_seeds, 2)
        parts = {
            "actor": (self.actor, (self.n_seeds,)),
            "critic": (self.critic, twins),
            "alpha": (self.log_alpha, (self.n_seeds,)),
        }
        self.flats = {
            part: FlatParameters(dict(module.named_parameters()), lead)
            for part, (module, lead) in parts.items()
        }
        self.optimizers = {
            part: SeedAdam(
                flat, s.learning_rate, (s.adam_beta1, s.adam_beta2), s.adam_eps, keras_eps=True
            )
            for part, flat in self.flats.items()
        }
        targets = dict(self.target_critic.named_parameters())
        self.flats["target"] = FlatParameters(targets, twins, gradients=False)
        self.flats["target"].flat.copy_(self.flats["critic"].flat)

    def network(self) -> HeadedNetwork:
        """Return the actor."""
        return self.actor

    @property
    def network_parts(self) -> list[str]:
        """Actor and critics."""
        return ["actor", "critic"]

    def action_distribution(self, features: Tensor, task: int | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation of the action before squashing."""
        mean, log_std = self.actor(self._with_task(features, task), task).chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def output_distributions(self, batch: Batch) -> Gaussian:
        """Return the policy's Gaussian at the batch's observations."""
        mean, log_std = self.action_distribution(batch.obs, batch.task)
        return Gaussian(mean, log_std.exp(), squash=True)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of actor, critics and entropy coefficient, each [S], at the same parameters."""
        task, log_alpha = batch.task, self.log_alpha.of(batch.task)
        alpha = log_alpha.detach().exp()
        action, log_prob = squash(*self.action_distribution(batch.obs, task), batch.noise)
        with torch.no_grad():
            next_action, next_log_prob = squash(
                *self.action_distribution(batch.next_obs, task), batch.next_noise
            )
            next_q = self._q(self.target_critic, batch.next_obs, next_action, task).amin(1)
            soft_value = next_q - alpha * next_log_prob
            target = batch.reward + self.settings.gamma * (1.0 - batch.done) * soft_value
        q = self._q(self.critic, batch.obs, batch.action, task)
        with frozen(self.critic):
            q_policy = self._q(self.critic, batch.obs, action, task).amin(1)
        entropy_gap = log_prob.detach() + self.target_entropy
        return {
            "actor": (alpha * log_prob - q_policy).mean(-1),
            "critic": 0.5 * (q - target.unsqueeze(1)).square().mean(-1).sum(-1),
            "alpha": -(log_alpha * entropy_gap).mean(-1),
        }

    def after_step(self) -> None:
        """Move the target critics towards the critics."""
        self.flats["target"].flat.lerp_(self.flats["critic"].flat, self.settings.tau)

    def sample(self, n: int | None, role: int) -> Batch:
        """Draw transitions of every seed uniformly with replacement, and noise."""
        n = n or self.settings.batch_size
        index = self.streams.integers(role, self.buffer.size.tolist(), n)
        batch = self.batch_of(self.buffer.rows(index), role)
        only = self.buffer.only_task()
        return batch if only is None else replace(batch, task=only)

    def rows_of(self, batch: Batch) -> dict[str, Tensor]:
        """Return the transitions, as the replay buffer keeps them."""
        task = torch.as_tensor(batch.task, dtype=torch.uint8, device=batch.reward.device)
        return {
            "obs": batch.obs,
            "next_obs": batch.next_obs,
            "action": batch.action,
            "reward": batch.reward,
            "done": batch.done.to(torch.uint8),
            "task": task.expand(batch.reward.shape),
        }

    def batch_of(self, rows: dict[str, Tensor], role: int) -> Batch:
        """Return the batch of stored transitions, with noise for the policy's actions."""
        shape = (2, rows["reward"].shape[1], self.spaces.action_dim)
        noise = torch.from_numpy(self.streams.normal(role, shape)).to(self.device)
        rows = {name: values.to(self.device) for name, values in rows.items()}
        return Batch(
            obs=rows["obs"],
            action=rows["action"],
            reward=rows["reward"],
            next_obs=rows["next_obs"],
            done=rows["done"].float(),
            task=rows["task"].long(),
            noise=noise[:, 0],
            next_noise=noise[:, 1],
        )

    def explore(self, features: np.ndarray) -> np.ndarray:
        """Return actions [S, A] for training: uniform at a task's start, then the policy's."""
        if self.task_step <= self.settings.exploration_steps:
            one = np.ones(self.spaces.action_dim)
            return self.streams.uniform(randomness.EXPLORATION, -one, one)
        noise = self.streams.normal(randomness.POLICY_NOISE, (1, self.spaces.action_dim))
        with full_precision():
            return self.act_on_features(features[:, None], self.task, noise)[:, 0]

    @torch.no_grad()
    def act_on_features(
        self, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        """Return the squashed policy's actions [S, K, A] for features [S, K, D]."""
        x = torch.from_numpy(features).to(self.device)
        mean, log_std = self.action_distribution(x, task)
        u = torch.addcmul(mean, log_std.exp(), torch.from_numpy(noise).to(self.device))
        return torch.tanh(u).cpu().numpy()

    def data_state(self) -> dict[str, Tensor]:
        """Return the replay buffer's contents."""
        return self.buffer.state()

    def load_data_state(self, state: dict[str, Tensor]) -> None:
        """Set the replay buffer's contents."""
        self.buffer.load(state)

    def store(self, transition: Transition) -> None:
        """Put one transition per seed into the replay buffer."""
        self.buffer.add(transition, self.task)

    def train_if_due(self) -> None:
        """Take the block of updates that belongs to the step just stored."""
        s, step = self.settings, self.task_step - 1
        if step < s.learning_starts or step % s.train_freq or self.buffer.size.min() == 0:
            return
        for _ in range(s.gradient_steps):
            losses = self.update(self.sample(None, randomness.REPLAY))
        self.report = report_names(losses) | self.gradient_norms
        self.report["alpha/value"] = self.log_alpha.value[:, self.task].detach().exp()
        self.check_finite(losses)

    def reset_for_task(self) -> None:
        """Forget what the settings say belongs to the old task."""
        s = self.settings
        if s.reset_buffer:
            self.buffer.clear()
        if s.reset_critic:
            heads = self.critic.heads
            self.critic.initialise(self.generators(randomness.WEIGHTS), head_fan_out=heads)
            self.flats["target"].flat.copy_(self.flats["critic"].flat)
        if s.reset_optimizer:
            self.reset_optimizers()

    def _q(
        self, critic: HeadedNetwork, features: Tensor, action: Tensor, task: int | Tensor
    ) -> Tensor:
        """Return both critics' values [S, 2, B]."""
        x = torch.cat([self._with_task(features, task), action], dim=-1).unsqueeze(1)
        values: Tensor = critic(x.expand(-1, 2, -1, -1), task)
        return values.squeeze(-1)

    def _with_task(self, features: Tensor, task: int | Tensor) -> Tensor:
        """Append the task's one-hot where the networks may see it."""
        if self.settings.hide_task_id or self.spaces.one_hot_dim == 0:
            return features
        if isinstance(task, int):
            task = torch.full(features.shape[:-1], task, device=features.device)
        one_hot = F.one_hot(task, self.spaces.one_hot_dim).to(features.dtype)
        return torch.cat([features, one_hot], dim=-1)
