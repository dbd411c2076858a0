"""Proximal policy optimisation with a seed axis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clrl.agents.agent import Agent
from clrl.agents.learner import report_names
from clrl.agents.memory import split
from clrl.agents.networks.adam import FlatParameters, SeedAdam
from clrl.agents.networks.distributions import Gaussian
from clrl.agents.networks.heads import decay_weights
from clrl.agents.ppo.acting import act
from clrl.agents.ppo.engine import PPOEngine
from clrl.agents.ppo.policy import (
    GaussianPolicy,
    clip_together,
    diagnosis,
    draw_weights,
    entropy,
    log_prob,
    make_networks,
    moved,
)
from clrl.agents.ppo.rollout import Rollout, RolloutBatch
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.ppo.waiting_hooks import WaitingHooks
from clrl.agents.randomness import MINIBATCHES, POLICY_NOISE, WEIGHTS
from clrl.agents.transition import Transition


class ContinualPPO(Agent):
    """PPO for a sequence of tasks (Schulman et al. 2017, arXiv 1707.06347), S seeds in lockstep.

    With one seed, no method and its own settings it computes what Stable-Baselines3's PPO computes
    (ppo/ppo.py), bit for bit under `networks.exact_linear`. What it adds: heads and action noise
    per task, and hooks; `WaitingHooks` says when these run.

    It learns at the end of each rollout of `n_steps`, from that rollout only. A step that the
    environment marks as unsound is never trained on: in minibatches the step before it takes its
    place.

    Args: see `Agent`; settings are those of `PPOSettings`, each also a keyword.

    Example:
        >>> import gymnasium
        >>> agent = ContinualPPO(gymnasium.make("Pendulum-v1"), n_steps=64)
        >>> agent.learn(64).n_updates
        10
    """

    name: ClassVar[str] = "ppo"
    settings_class: ClassVar[type] = PPOSettings
    engine_class: ClassVar[type] = PPOEngine
    settings: PPOSettings
    counters: ClassVar[tuple[str, ...]] = (*Agent.counters, "waiting")

    def build(self) -> None:
        """Make policy, value network and rollout."""
        s, spaces, seeds = self.settings, self.spaces, self.n_seeds
        s.check_seeds(seeds)
        shape = (self.input_dim, spaces.action_dim, self.n_heads)
        self.policy_net, self.value_net = make_networks((seeds,), *shape, s)
        draw_weights(self.policy_net, self.value_net, s, self.generators(WEIGHTS))
        for network in self.modules().values():
            network.to(self.device)
        size = (seeds, s.n_steps, spaces.feature_dim, spaces.action_dim)
        self.rollout = Rollout(*size, self.task_dtype)
        self.hooks = WaitingHooks()
        self.acted: dict[str, np.ndarray] = {}
        """What `explore` knew of its actions: "value" [S] and "log_prob" [S]."""
        self.max_grad_norm = s.max_grad_norm

    def reinitialise(self) -> None:
        """Draw fresh weights, forget the rollouts and the optimizers' moments."""
        rngs = self.generators(WEIGHTS)
        draw_weights(self.policy_net, self.value_net, self.settings, rngs)
        self.rollout.clear()
        self.reset_optimizers()

    def make_optimizers(self) -> None:
        """Give policy and value an Adam each; with the joint clip it is Stable-Baselines3's one."""
        s, lead = self.settings, (self.n_seeds,)
        named = {part: dict(m.named_parameters()) for part, m in self.modules().items()}
        self.flats = {part: FlatParameters(named[part], lead) for part in named}
        adam = (s.learning_rate, (s.adam_beta1, s.adam_beta2), s.adam_eps)
        decay = s.weight_decay if self.n_heads == 1 else 0.0  # else `clip_gradients` adds it
        self.optimizers = {
            part: SeedAdam(flat, *adam, weight_decay=decay) for part, flat in self.flats.items()
        }

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

    def action_distribution(self, features: Tensor, task: int | Tensor) -> Gaussian:
        """Return the policy's Gaussian for features [S, B, D]."""
        return self.policy_net.gaussian(self.with_task(features, task), task)

    def output_distributions(self, batch: RolloutBatch) -> Gaussian:
        """Return the policy's Gaussian at the batch's observations."""
        engine = self.engine() if self.policy_net.head.tape is None else None
        if engine is None:
            return self.action_distribution(batch.obs, batch.task)
        return self.policy_net.around(engine.means(self, batch.obs, batch.task), batch.task)

    def values(self, features: Tensor, task: int | Tensor) -> Tensor:
        """Return predicted values [S, B] for features [S, B, D]."""
        predicted: Tensor = self.value_net(self.with_task(features, task), task)
        return predicted.squeeze(-1)

    # Acting, and the rollout that is made of it

    def explore(self, features: np.ndarray) -> np.ndarray:
        """Return the policy's actions [S, A] for training, as drawn."""
        noise = self.streams.normal(POLICY_NOISE, (1, self.spaces.action_dim))
        found = act(self, features[:, None], self.task, noise, ("actions", "value", "log_prob"))
        self.acted = {name: values[:, 0] for name, values in found.items()}
        return self.acted.pop("actions")

    def act_on_features(
        self, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        """Return actions [S, K, A] before clipping, for features [S, K, D]."""
        return act(self, features, task, noise)["actions"]

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Clip actions to the bounds of the action space, unless they go out as drawn."""
        clipped = self.settings.clip_actions
        return self.spaces.clip(actions) if clipped else self.spaces.unclipped(actions)

    def store(self, transition: Transition) -> None:
        """Write one row per seed; what a time limit cuts off is added to its reward."""
        s, kept = self.settings, np.array(transition.keep)
        reward = np.where(kept, transition.rewards, 0.0).astype(np.float32)
        truncated = transition.over & ~transition.ended & kept
        if s.bootstrap_truncated and truncated.any():
            future = self._value_of(transition.next_features)
            reward[truncated] += s.gamma * future[truncated]
        self.rollout.cut(self._last_episode_starts)
        self.rollout.add(
            obs=transition.features,
            action=transition.actions,
            reward=reward,
            task=self.task,
            over=transition.over,
            kept=kept,
            **self.acted,
        )

    def _value_of(self, features: np.ndarray) -> np.ndarray:
        """Return the value [S] of one row of features per seed [S, D] in the current task."""
        return act(self, features[:, None], self.task, wanted=("value",))["value"][:, 0]

    def finish_rollout(self) -> None:
        """Work out advantages and returns of the rows written, which can be sampled from now on."""
        s, last = self.settings, np.zeros(self.n_seeds, np.float32)
        if isinstance(self._last_obs, np.ndarray):
            # Another task's observation does no harm: the episode before it is over.
            last = self._value_of(self.spaces.features(self._last_obs))
        self.rollout.cut(self._last_episode_starts)
        self.rollout.finish(last, s.gamma, s.gae_lambda, s.normalize_advantage == "rollout")

    # The updates

    def train_if_due(self) -> None:
        """Train on a rollout at its end, then run the hooks that waited for it."""
        if self.rollout.full:
            self.finish_rollout()
            self.train_on_rollout()
            self.rollout.advance()
            self.hooks.run(self)

    def train_on_rollout(self) -> None:
        """Take the updates of a full rollout, epoch by epoch in minibatches, and report on them."""
        s, policy, task = self.settings, self.output_distributions, self.rollout.only_task()
        sums, n = dict[str, Tensor](), 0
        for batch in chain.from_iterable(self._epoch(task) for _ in range(s.n_epochs)):
            if s.target_kl is not None and moved(policy, batch) > 1.5 * s.target_kl:
                break
            losses = self.update(batch)
            sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
            n += 1
        means = {name: total / n for name, total in sums.items()}
        self.check_finite(means)
        if "value" in means:  # without its coefficient, as Stable-Baselines3 logs it
            means["value"] = means["value"] / (s.vf_coef or 1.0)
        batch = self.rollout.batch(self.rollout.stand_ins(), self.device, task)
        clip = s.clip_range * s.left(s.clip_range_schedule, self.num_timesteps)
        self.report = report_names(means) | diagnosis(policy, batch, clip) | self.gradient_norms

    def _epoch(self, task: int | None) -> Iterator[RolloutBatch]:
        """Return minibatches that go through the rollout once, in an order of this epoch."""
        (index,) = self.rollout.minibatches(self.rollout.position, self.generators(MINIBATCHES))
        own = self.engine() is None  # views in memory decide the last bits of torch's products
        for batch in split(self.rollout.batch(index, self.device, task), self.settings.batch_size):
            yield batch.copy() if own else batch

    def prepare(self, batch: RolloutBatch) -> RolloutBatch:
        """Set the learning rate that belongs to this step."""
        s = self.settings
        for optimizer in self.optimizers.values():
            optimizer.lr = s.learning_rate * s.left(s.learning_rate_schedule, self.num_timesteps)
        return batch

    def losses(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """Return the clipped surrogate with its entropy bonus, and the value loss, each [S]."""
        s = self.settings
        left = s.left(s.clip_range_schedule, self.num_timesteps)
        clip, gaussian = s.clip_range * left, self.action_distribution(batch.obs, batch.task)
        ratio = (log_prob(gaussian, batch.action) - batch.log_prob).exp()
        advantage = batch.advantage
        if s.normalize_advantage == "minibatch" and advantage.shape[1] > 1:
            mean, std = advantage.mean(-1, keepdim=True), advantage.std(-1, keepdim=True)
            advantage = (advantage - mean) / (std + 1e-8)
        surrogate = torch.min(advantage * ratio, advantage * ratio.clamp(1 - clip, 1 + clip))
        value = self.values(batch.obs, batch.task)
        if s.clip_range_vf is not None:
            clip = s.clip_range_vf * left
            value = batch.value + (value - batch.value).clamp(-clip, clip)
        return {
            "policy": -surrogate.mean(-1) - s.ent_coef * entropy(gaussian).mean(-1),
            "value": s.vf_coef * (batch.returns - value).square().mean(-1),
        }

    def clip_gradients(self) -> None:
        """Clip the gradient norm of policy and value together, then add the weights' decay."""
        if self.max_grad_norm is not None:
            clip_together(self.flats, self.max_grad_norm, self.compiled)
        if self.settings.weight_decay and self.n_heads > 1:
            for part, network in self.modules().items():
                decay_weights(self.flats[part], network, self.task, self.settings.weight_decay)

    # Tasks: what belongs to their boundaries can wait

    def on_end(self) -> None:
        """Call the method's `on_task_end`, which may have to wait for the rollout's end."""
        self.hooks.end_task(self)

    def on_start(self, task: int) -> None:
        """Begin a task; resets and hook may have to wait for the rollout's end."""
        self.hooks.start_task(self, task)

    @property
    def waiting(self) -> list[list[str | int]]:
        """The events of `hooks`, as they are saved."""
        return self.hooks.events

    @waiting.setter
    def waiting(self, events: list[list[str | int]]) -> None:
        self.hooks.events = events

    # Data

    def sample(self, n: int | None, role: int, task: int | None = None) -> RolloutBatch:
        """Draw rows from the last two rollouts, with replacement.

        At least `n_steps` of them are a hook's task, if that was so long. Training goes through
        each rollout itself and draws none.
        """
        places = self.rollout.of_task(task)
        counts = [len(rows) for rows in places]
        self.check_rows(counts, task)
        draws = self.streams.integers(role, counts, n or self.settings.batch_size)
        index = np.stack([rows[draw] for rows, draw in zip(places, draws, strict=True)])
        return self.rollout.batch(index, self.device, task)

    def rows_of(self, batch: RolloutBatch) -> dict[str, Tensor]:
        """Return the rows, with what was known when they were collected."""
        return {**vars(batch), "task": self.task_ids(batch.task, batch.value)}

    def batch_of(self, rows: dict[str, Tensor], role: int) -> RolloutBatch:
        """Return the batch of stored rows; there is no noise to draw."""
        return RolloutBatch.of(rows, self.device)

    def data_state(self) -> dict[str, Tensor]:
        """Return the rollouts."""
        return self.rollout.state()

    def load_data_state(self, state: dict[str, Tensor]) -> None:
        """Set the rollouts."""
        self.rollout.load(state)
        self._last_episode_starts = None
