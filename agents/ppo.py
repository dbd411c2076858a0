"""Proximal policy optimisation with a seed axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clrl.agents import randomness
from clrl.agents.adam import FlatParameters, SeedAdam, clip_norm
from clrl.agents.gaussian import GaussianPolicy, entropy, initialise, log_prob
from clrl.agents.learner import Gaussian, report_names
from clrl.agents.networks import HeadedNetwork, full_precision
from clrl.agents.on_policy import OnPolicyAgent
from clrl.agents.rollout import RolloutBatch
from clrl.agents.settings import PPOSettings

_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_
# The order in which Stable-Baselines3 adds up the norms of gradients; it decides the last bits.
_CLIP_ORDER = ("policy.log_std", "policy.core", "value.core", "policy.head", "value.head")
_CLIP_RANK = {name: rank for rank, name in enumerate(_CLIP_ORDER)}
_POLICY_HEAD_GAIN, _VALUE_HEAD_GAIN = 0.01, 1.0


class ContinualPPO(OnPolicyAgent):
    """PPO for a sequence of tasks (Schulman et al. 2017, arXiv 1707.06347), S seeds in lockstep.

    With one seed, no method and its own settings it computes what Stable-Baselines3's PPO computes
    (ppo/ppo.py), bit for bit under `networks.exact_linear`. What it adds: heads and action noise
    per task, and hooks; `OnPolicyAgent` says when these run.

    Args: see `Agent`; settings are those of `PPOSettings`, each also a keyword.

    Example:
        >>> import gymnasium
        >>> agent = ContinualPPO(gymnasium.make("Pendulum-v1"), n_steps=64)
        >>> agent.learn(64).n_updates
        10
    """

    name: ClassVar[str] = "ppo"
    settings_class: ClassVar[type] = PPOSettings
    settings: PPOSettings

    def build(self) -> None:
        """Make policy, value network and rollout."""
        super().build()
        s, lead, a = self.settings, (self.n_seeds,), self.spaces.action_dim
        if s.target_kl is not None and self.n_seeds > 1:
            raise ValueError(
                f"target_kl is {s.target_kl} with {self.n_seeds} seeds; it is allowed with one, "
                "because seeds are updated side by side and one cannot stop alone"
            )
        inputs = self.input_dim
        layer_norm = s.activation == "continual_world"
        activation = "leaky_relu" if s.activation == "continual_world" else s.activation
        shape = (self.n_heads, s.hidden_sizes, layer_norm, activation)
        self.policy_net = GaussianPolicy(lead, inputs, a, *shape)
        self.value_net = HeadedNetwork(lead, inputs, 1, *shape)
        self._draw_weights()
        for network in (self.policy_net, self.value_net):
            network.to(self.device)
        self.max_grad_norm = s.max_grad_norm

    def _draw_weights(self) -> None:
        rngs, scheme = self.generators(randomness.WEIGHTS), self.settings.initialisation
        initialise(self.policy_net, scheme, rngs, _POLICY_HEAD_GAIN)
        initialise(self.value_net, scheme, rngs, _VALUE_HEAD_GAIN)
        self.policy_net.log_std.bias.data.fill_(self.settings.log_std_init)

    def reinitialise(self) -> None:
        """Draw fresh weights, forget the rollouts and the optimizers' moments."""
        self._draw_weights()
        self.rollout.clear()
        self.reset_optimizers()

    def make_optimizers(self) -> None:
        """One Adam each for policy and value; with the joint clip it is Stable-Baselines3's one."""
        s = self.settings
        self.flats = {
            part: FlatParameters(dict(network.named_parameters()), (self.n_seeds,))
            for part, network in self.modules().items()
        }
        self.optimizers = {
            part: SeedAdam(
                flat,
                s.learning_rate,
                (s.adam_beta1, s.adam_beta2),
                s.adam_eps,
                weight_decay=s.weight_decay,
            )
            for part, flat in self.flats.items()
        }
        self._rank_gradients()

    def reflatten(self, part: str) -> None:
        """Take up parameters that were added to policy or value."""
        super().reflatten(part)
        self._rank_gradients()

    def _rank_gradients(self) -> None:
        ranked = [
            (_CLIP_RANK.get(f"{part}.{name.split('.')[0]}", len(_CLIP_RANK)), gradient)
            for part, flat in self.flats.items()
            for name, (_, gradient) in zip(flat.slots, flat.gradient_slots, strict=True)
        ]
        self._gradients = [gradient for _, gradient in sorted(ranked, key=lambda pair: pair[0])]

    def modules(self) -> dict[str, nn.Module]:
        """Return policy and value."""
        return {"policy": self.policy_net, "value": self.value_net}

    def network(self) -> GaussianPolicy:
        """Return the policy."""
        return self.policy_net

    def protected_parameters(self) -> dict[str, nn.Parameter]:
        """Return the policy's core; with a single head the whole policy, action noise included."""
        found = super().protected_parameters()
        if self.policy_net.heads > 1:
            del found["log_std.bias"]
        return found

    def clip_gradients(self) -> None:
        """Clip the gradient norm of policy and value together."""
        if self.max_grad_norm is not None:
            clip_norm(self._gradients, self.max_grad_norm, _CLIP_EPS)

    def output_distributions(self, batch: RolloutBatch) -> Gaussian:
        """Return the policy's Gaussian at the batch's observations."""
        return self.policy_net.gaussian(self.with_task(batch.obs, batch.task), batch.task)

    def values(self, features: Tensor, task: int | Tensor) -> Tensor:
        """Return predicted values [S, B] for features [S, B, D]."""
        predicted: Tensor = self.value_net(self.with_task(features, task), task)
        return predicted.squeeze(-1)

    def prepare(self, batch: RolloutBatch) -> RolloutBatch:
        """Set the learning rate that belongs to this step."""
        s = self.settings
        for optimizer in self.optimizers.values():
            optimizer.lr = self._scheduled(s.learning_rate, s.learning_rate_schedule)
        return batch

    def losses(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """Return the clipped surrogate with its entropy bonus, and the value loss, each [S]."""
        s = self.settings
        clip = self._scheduled(s.clip_range, s.clip_range_schedule)
        gaussian = self.output_distributions(batch)
        ratio = (log_prob(gaussian, batch.action) - batch.log_prob).exp()
        advantage = batch.advantage
        if s.normalize_advantage == "minibatch" and advantage.shape[1] > 1:
            mean, std = advantage.mean(-1, keepdim=True), advantage.std(-1, keepdim=True)
            advantage = (advantage - mean) / (std + 1e-8)
        surrogate = torch.min(advantage * ratio, advantage * ratio.clamp(1 - clip, 1 + clip))
        value = self.values(batch.obs, batch.task)
        if s.clip_range_vf is not None:
            clip = self._scheduled(s.clip_range_vf, s.clip_range_schedule)
            value = batch.value + (value - batch.value).clamp(-clip, clip)
        return {
            "policy": -surrogate.mean(-1) - s.ent_coef * entropy(gaussian).mean(-1),
            "value": s.vf_coef * (batch.returns - value).square().mean(-1),
        }

    # Acting

    @torch.no_grad()
    def explore(self, features: np.ndarray) -> np.ndarray:
        """Return the policy's actions [S, A] for training, as drawn."""
        noise = self.streams.normal(randomness.POLICY_NOISE, (1, self.spaces.action_dim))
        x = torch.from_numpy(features[:, None]).to(self.device)
        with full_precision():
            gaussian = self.policy_net.gaussian(self.with_task(x, self.task), self.task)
            value = self.values(x, self.task)
        action = gaussian.mean + torch.from_numpy(noise).to(self.device) * gaussian.std
        about = {"value": value, "log_prob": log_prob(gaussian, action)}
        self.acted = {name: tensor[:, 0].cpu().numpy() for name, tensor in about.items()}
        return action[:, 0].cpu().numpy()

    @torch.no_grad()
    def act_on_features(
        self, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        """Return actions [S, K, A] before clipping, for features [S, K, D]."""
        x = torch.from_numpy(features).to(self.device)
        gaussian = self.policy_net.gaussian(self.with_task(x, task), task)
        action = gaussian.mean + torch.from_numpy(noise).to(self.device) * gaussian.std
        return action.cpu().numpy()

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Clip actions to the bounds of the action space, unless they go out as drawn."""
        if not self.settings.clip_actions:
            return actions
        box = self.spaces.action
        return np.clip(actions, box.low, box.high).astype(np.float32, copy=False)

    # Training

    def train_on_rollout(self) -> None:
        """Take the updates of a full rollout."""
        limit, sums, n = self.settings.target_kl, dict[str, Tensor](), 0
        for batch in self._minibatches():
            if limit is not None and float(self._moved(batch)[0].mean(-1)) > 1.5 * limit:
                break
            losses = self.update(batch)
            sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
            n += 1
        means = {name: total / n for name, total in sums.items()}
        self.check_finite(means)
        if "value" in means:  # without its coefficient, as Stable-Baselines3 logs it
            means["value"] = means["value"] / (self.settings.vf_coef or 1.0)
        self.report = report_names(means) | self._diagnose() | self.gradient_norms

    def _minibatches(self) -> Iterator[RolloutBatch]:
        s, rngs = self.settings, self.generators(randomness.MINIBATCHES)
        for _ in range(s.n_epochs):
            for index in self.rollout.minibatches(s.batch_size, rngs):
                yield self._batch_at(index)

    def _batch_at(self, index: np.ndarray) -> RolloutBatch:
        """Return rows of the current rollout."""
        batch = self.batch_of(self.rollout.rows(index), randomness.MINIBATCHES)
        only = self.rollout.only_task()
        return batch if only is None else replace(batch, task=only)

    @torch.no_grad()
    def _moved(self, batch: RolloutBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far the policy is from the one that acted: KL estimates, ratios, entropies."""
        gaussian = self.output_distributions(batch)
        log_ratio = log_prob(gaussian, batch.action) - batch.log_prob
        return (log_ratio.exp() - 1) - log_ratio, log_ratio.exp(), entropy(gaussian)

    def _diagnose(self) -> dict[str, Tensor]:
        """Return what the updates did, over the whole rollout."""
        s, batch = self.settings, self._batch_at(self.rollout.stand_ins())
        clip = self._scheduled(s.clip_range, s.clip_range_schedule)
        divergence, ratio, entropies = self._moved(batch)
        spread = batch.returns.var(-1)
        unexplained = (batch.returns - batch.value).var(-1)
        return {
            "policy/entropy": entropies.mean(-1),
            "policy/approx_kl": divergence.mean(-1),
            "policy/clip_fraction": ((ratio - 1).abs() > clip).float().mean(-1),
            "value/explained_variance": torch.where(spread > 0, 1 - unexplained / spread, 0.0),
        }

    def _scheduled(self, value: float, schedule: str) -> float:
        """Return a setting's value at the current step."""
        if schedule == "constant":
            return value
        return max(1.0 - self.num_timesteps / self.settings.schedule_steps, 0.0) * value

    def reset_for_task(self) -> None:
        """Forget what the settings say belongs to the old task."""
        if self.settings.reset_optimizer:
            self.reset_optimizers()
