"""Soft actor-critic with a seed axis, as Continual World trains it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clrl.agents import randomness
from clrl.agents.learner import NonFinite
from clrl.agents.networks.adam import Clock, FlatParameters, SeedAdam
from clrl.agents.networks.distributions import Gaussian
from clrl.agents.networks.layers import HeadedNetwork, frozen, full_precision
from clrl.agents.sac.engine import SACEngine
from clrl.agents.sac.exploration import BestReturn
from clrl.agents.sac.policy import LogAlpha, squash, target_entropy
from clrl.agents.sac.popart import PopArt, rescale
from clrl.agents.sac.replay import DRAWN_TOGETHER, Batch, ReplayBuffer, ReservoirBuffer
from clrl.agents.sac.report import Reporting
from clrl.agents.sac.settings import SACSettings
from clrl.agents.transition import Transition


class ContinualSAC(Reporting):
    """SAC for a sequence of tasks (Haarnoja et al. 2018, arXiv 1812.05905), S seeds in lockstep.

    The variant is Continual World's (arXiv 2105.10919; continualworld/sac/sac.py): heads and an
    entropy coefficient per task, and gradients of actor and critics taken at the same parameters.
    It differs from the original code in that every part has its own Adam with its own step count
    and a task change really starts a fresh one (there, and with parity "original", one step count
    goes on for all three and a reset zeroes the moments only), and in that the log-probability uses
    the drawn noise itself where the original divides (u - mean) by (std + 1e-8).

    Args: see `Agent`; settings are those of `SACSettings`, each also a keyword.

    Example:
        >>> import gymnasium
        >>> agent = ContinualSAC(gymnasium.make("Pendulum-v1"), hidden_sizes=(16, 16))
        >>> agent.learn(10).num_timesteps
        10
    """

    name: ClassVar[str] = "sac"
    settings_class: ClassVar[type] = SACSettings
    engine_class: ClassVar[type] = SACEngine
    log_std_range: ClassVar[tuple[float, float]] = (-20.0, 2.0)
    settings: SACSettings

    def build(self) -> None:
        """Make networks, entropy coefficients and replay buffer."""
        s, lead = self.settings, (self.n_seeds,)
        heads, inputs, a = self.n_heads, self.input_dim, self.spaces.action_dim
        shape = (heads, s.hidden_sizes, s.layer_norm)
        self.actor = HeadedNetwork(lead, inputs, 2 * a, *shape)
        twins = (self.n_seeds, 2)
        self.critic = HeadedNetwork(twins, inputs + a, 1, *shape)
        self.target_critic = HeadedNetwork(twins, inputs + a, 1, *shape)
        self.log_alpha = LogAlpha(self.n_seeds, self.spaces.n_ids)
        self.popart = PopArt(self.n_seeds, heads, s.popart_beta)
        self._draw_weights()
        for network in (self.actor, self.critic, self.target_critic, self.log_alpha, self.popart):
            network.to(self.device)
        size = (self.n_seeds, s.buffer_size, self.spaces.feature_dim, a)
        rngs, dtype = self.generators(randomness.REPLAY), self.task_dtype
        fifo = s.replay == "fifo"
        self.buffer = ReplayBuffer(*size, dtype) if fifo else ReservoirBuffer(*size, rngs, dtype)
        best = s.exploration == "best_return"
        self.old_heads = BestReturn(self.n_seeds, self.spaces.n_ids) if best else None
        self.target_entropy = target_entropy(a, s.target_output_std)
        self.max_grad_norm = s.max_grad_norm

    def _draw_weights(self) -> None:
        rngs, a = self.generators(randomness.WEIGHTS), self.spaces.action_dim
        # Continual World has one layer for the mean and one for the deviation, each a * heads wide.
        self.actor.initialise(rngs, head_fan_out=a * self.actor.heads)
        self.critic.initialise(rngs, head_fan_out=self.critic.heads)
        self.log_alpha.value.data.fill_(self.settings.initial_log_alpha)
        self.popart.reset()

    def reinitialise(self) -> None:
        """Draw fresh weights, empty the buffer, make the optimizers as new."""
        self._draw_weights()
        self.flats["target"].flat.copy_(self.flats["critic"].flat)
        self.buffer.clear()
        for optimizer in self.optimizers.values():
            optimizer.reset(clock=True)

    def make_optimizers(self) -> None:
        """Make one Adam each for actor, critics and entropy coefficients."""
        s, one, twins = self.settings, (self.n_seeds,), (self.n_seeds, 2)
        leads = {"actor": one, "critic": twins, "alpha": one}
        named = {part: dict(m.named_parameters()) for part, m in self.modules().items()}
        self.flats = {part: FlatParameters(named[part], lead) for part, lead in leads.items()}
        betas, clock = (s.adam_beta1, s.adam_beta2), Clock() if self.parity == "original" else None
        self.optimizers = {
            part: SeedAdam(flat, s.learning_rate, betas, s.adam_eps, keras_eps=True, clock=clock)
            for part, flat in self.flats.items()
        }
        self.flats["target"] = FlatParameters(named["target"], twins, gradients=False)
        self.flats["target"].flat.copy_(self.flats["critic"].flat)
        if s.popart:
            self.flats["popart"] = FlatParameters(named["popart"], one, gradients=False)

    def modules(self) -> dict[str, nn.Module]:
        """Return actor, critics, entropy coefficients, target critics and PopArt's statistics."""
        return {"actor": self.actor, "critic": self.critic, "alpha": self.log_alpha,
                "target": self.target_critic, "popart": self.popart}  # fmt: skip

    def network(self) -> HeadedNetwork:
        """Return the actor."""
        return self.actor

    @property
    def network_parts(self) -> list[str]:
        """Actor and critics."""
        return ["actor", "critic"]

    def action_distribution(self, features: Tensor, task: int | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation of the action before squashing."""
        # A copy of views into replay rows: torch chooses kernels by layout and alignment.
        return self._split(self.actor(self.with_task(features, task).contiguous(), task))

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = outputs.chunk(2, dim=-1)
        return mean, log_std.clamp(*self.log_std_range)

    def output_distributions(self, batch: Batch) -> Gaussian:
        """Return the policy's Gaussian at the batch's observations."""
        engine = self.engine() if self.actor.head.tape is None else None
        if engine is None:
            mean, log_std = self.action_distribution(batch.obs, batch.task)
        else:
            mean, log_std = self._split(engine.policy(self, batch.obs, batch.task))
        return Gaussian(mean, log_std.exp(), squash=True)

    def prepare(self, batch: Batch) -> Batch:
        """Move PopArt's statistics and heads towards the batch's targets, and keep these.

        As van Hasselt et al. 2016, algorithm 1, in that losses and gradients see the new units.
        All four heads of a task are rescaled. With parity "original" the statistics get targets
        that are normalised already, and only the first critic's head is rescaled
        (continualworld/sac/sac.py; there it happens between gradient and step).
        """
        if not self.settings.popart:
            return batch
        engine = self.engine(batch)
        target = self._soft_target(batch) if engine is None else engine.targets(self, batch)
        original = self.parity == "original"
        seen = self.popart.normalise(target, batch.task) if original else target
        units = self.popart.update(seen, batch.task)
        rescale(self.critic.head, *units, critics=(0,) if original else (0, 1))
        rescale(self.target_critic.head, *units, critics=() if original else (0, 1))
        return replace(batch, target=self.popart.normalise(target, batch.task))

    @torch.no_grad()
    def _soft_target(self, batch: Batch) -> Tensor:
        """Return what the critics are to predict [S, B], in units of reward."""
        alpha = self.log_alpha.of(batch.task).exp()
        next_action, next_log_prob = squash(
            *self.action_distribution(batch.next_obs, batch.task), batch.next_noise
        )
        next_q = self._q(self.target_critic, batch.next_obs, next_action, batch.task).amin(1)
        if self.settings.popart:
            next_q = self.popart.restore(next_q, batch.task)
        soft_value = next_q - alpha * next_log_prob
        return batch.reward + self.settings.gamma * (1.0 - batch.done) * soft_value

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of actor, critics and entropy coefficient, [S], at the same parameters.

        With PopArt the actor weighs the normalised value against its entropy, as in Continual
        World: a task's entropy coefficient is then in units of its scale.
        """
        task, log_alpha = batch.task, self.log_alpha.of(batch.task)
        alpha = log_alpha.detach().exp()
        action, log_prob = squash(*self.action_distribution(batch.obs, task), batch.noise)
        target = batch.target
        if target is None:
            target = self._soft_target(batch)
            if self.settings.popart:
                target = self.popart.normalise(target, task)
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
        self.flats["target"].move_towards(self.flats["critic"], self.settings.tau)

    def sample(self, n: int | None, role: int, task: int | None = None) -> Batch:
        """Draw transitions of every seed uniformly with replacement, and noise.

        Interleaved tasks are one, and with parity "original" a task's rows are the whole buffer.
        """
        n = n or self.settings.batch_size
        if self.interleaved or self.parity == "original":
            task = None
        counts = self.buffer.counts(task)
        self.check_rows(counts, task)
        index = self.buffer.positions(self.streams.integers(role, counts, n), task)
        if task is None and not self.interleaved:  # there seeds change tasks one by one
            task = self.buffer.only_task()
        return self.batch_of(self.buffer.rows(index, task is None), role, task)

    def rows_of(self, batch: Batch) -> dict[str, Tensor]:
        """Return the transitions, as the replay buffer keeps them."""
        return batch.rows() | {"task": self.task_ids(batch.task, batch.reward)}

    def batch_of(self, rows: dict[str, Tensor], role: int, task: int | None = None) -> Batch:
        """Return the batch of stored transitions, with noise for the policy's actions."""
        shape = (2, rows["reward"].shape[1], self.spaces.action_dim)
        batch = Batch.of(rows, self.streams.normal(role, shape), task)
        return batch if self.device.type == "cpu" else batch.to(self.device)

    def explore(self, features: np.ndarray) -> np.ndarray:
        """Return actions [S, A] for training.

        At a task's start they are uniform or, with `exploration = "best_return"` and once a task
        has ended, those of the heads of such tasks; then the policy's.
        """
        heads = self.acting_heads()
        if self.task_step <= self.settings.exploration_steps:
            if self.old_heads is None or not self.ended:
                one = np.ones(self.spaces.action_dim)
                return self.streams.uniform(randomness.EXPLORATION, -one, one)
            heads = torch.from_numpy(self.old_heads.heads(self.ended)).to(self.device).unsqueeze(1)
        noise = self.streams.normal(randomness.POLICY_NOISE, (1, self.spaces.action_dim))
        return self.act_on_features(features[:, None], heads, noise)[:, 0]

    def act_on_features(
        self, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        """Return the squashed policy's actions [S, K, A] for features [S, K, D]."""
        engine = self.engine()
        if engine is not None:
            actions: np.ndarray = engine.act(self, features, task, noise)
            return actions
        with torch.no_grad(), full_precision():
            x = torch.from_numpy(features).to(self.device)
            mean, log_std = self.action_distribution(x, task)
            u = torch.addcmul(mean, log_std.exp(), torch.from_numpy(noise).to(self.device))
            return torch.tanh(u).cpu().numpy()

    def data_state(self) -> dict[str, Tensor]:
        """Return the replay buffer's contents, and how old heads did in this task."""
        return self.buffer.state() | (self.old_heads.state() if self.old_heads else {})

    def load_data_state(self, state: dict[str, Tensor]) -> None:
        """Set the replay buffer's contents, and how old heads did in this task."""
        self.buffer.load(state)
        if self.old_heads is not None:
            self.old_heads.load(state)

    def store(self, transition: Transition) -> None:
        """Put one transition per seed into the replay buffer."""
        self.buffer.add(transition, self.acting_task)
        if self.old_heads is not None:
            self.old_heads.observe(transition)

    def train_if_due(self) -> None:
        """Take the block of updates that belongs to the step just stored."""
        s, step = self.settings, self.task_step - 1
        if step < s.learning_starts or step % s.train_freq:
            return
        if 0 in (sizes := self.buffer.size.tolist()):
            seed = self.seeds[sizes.index(0)]
            raise NonFinite(f"every step of seed {seed} so far blew up in {self.where}")
        for first in range(0, s.gradient_steps, self.drawn_together):
            n = min(self.drawn_together, s.gradient_steps - first) * s.batch_size
            for batch in self.sample(n, randomness.REPLAY).split(s.batch_size):
                losses = self.update(batch)
        self.note_block(losses)
        self.check_finite(losses)

    @property
    def drawn_together(self) -> int:
        """Updates whose batches are drawn at once: of another number the draws are others."""
        return min(DRAWN_TOGETHER, self.settings.gradient_steps)

    def reset_for_task(self) -> None:
        """Forget what the settings say belongs to the old task."""
        s = self.settings
        if s.reset_buffer:
            self.buffer.clear()
        if s.reset_critic:
            self.critic.initialise(self.generators(randomness.WEIGHTS), self.critic.heads)
            self.popart.reset()
            self.flats["target"].flat.copy_(self.flats["critic"].flat)
        super().reset_for_task()
        if self.old_heads is not None:
            self.old_heads.reset()

    def _q(
        self, critic: HeadedNetwork, features: Tensor, action: Tensor, task: int | Tensor
    ) -> Tensor:
        """Return both critics' values [S, 2, B]."""
        x = torch.cat([self.with_task(features, task), action], dim=-1).unsqueeze(1)
        values: Tensor = critic(x.expand(-1, 2, -1, -1), task)
        return values.squeeze(-1)
