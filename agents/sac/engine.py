"""SAC's losses and gradients by compiled code: what it gets, and where it is right."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from clrl.agents.native.engine import CompiledEngine, in_blocks, joined
from clrl.agents.native.function import outputs
from clrl.agents.native.library import CSac
from clrl.agents.native.network import (
    MAX_ROWS,
    describe,
    keep_hidden,
    misshapen,
    place,
    readable,
    refusal,
)
from clrl.agents.native.watched import misplaced, not_ours
from clrl.agents.sac.policy import LogAlpha
from clrl.agents.sac.popart import PopArt
from clrl.agents.sac.replay import Batch

if TYPE_CHECKING:
    from clrl.agents.sac.sac import ContinualSAC

_OURS = ("losses", "prepare", "output_distributions", "action_distribution", "with_task",
         "_split", "_soft_target", "_q", "take_gradients")  # fmt: skip
"""What the compiled code stands in for."""
_OF_PARTS = {"log_alpha": ("of",), "popart": ("restore",)}
"""The same, of entropy coefficients and PopArt."""
_WRITTEN_IN = ("clrl.agents.sac.sac", "clrl.agents.sac.policy", "clrl.agents.sac.popart",
               "clrl.agents.acting", "clrl.agents.networks.gradients")  # fmt: skip
_NETWORKS = ("actor", "critic", "target_critic", "log_alpha", "popart")


class SACEngine(CompiledEngine):
    """`ContinualSAC.losses` and its gradients, seed by seed, in native/source/sac.h.

    A seed's bits depend on nothing but the seed: not on its neighbours, the number of threads, the
    registers of the processor (AVX2 or AVX-512) or the compiler.
    """

    def __init__(self, agent: ContinualSAC):
        features, actions = (agent.spaces.feature_dim,), (agent.spaces.action_dim,)
        numbers = {
            "reward": (), "done": (), "obs": features, "next_obs": features, "action": actions,
            "noise": actions, "next_noise": actions,
        }  # fmt: skip
        n_tasks = agent.log_alpha.value.shape[1]
        super().__init__(agent, _NETWORKS, _OURS, numbers, n_tasks, _OF_PARTS)
        self._losses = torch.zeros(agent.n_seeds, 3)
        flats, log_alpha = agent.flats, agent.log_alpha.value
        self._sac = CSac(
            actor=describe(agent.actor, flats["actor"]),
            critic=describe(agent.critic, flats["critic"]),
            target=describe(agent.target_critic, flats["target"]),
            features=agent.input_dim,
            actions=agent.spaces.action_dim,
            tasks=log_alpha.shape[1],
            gamma=agent.settings.gamma,
            log_alpha=log_alpha.data_ptr(),
            losses=self._losses.data_ptr(),
        )

    @staticmethod
    def refusal(agent: Any) -> str | None:
        """Return why it cannot stand in for an agent's own losses, None if it can."""
        if agent.settings.batch_size > MAX_ROWS:
            return f"batch_size is {agent.settings.batch_size}, more than {MAX_ROWS}"
        networks = (agent.actor, agent.critic, agent.target_critic)
        return (
            not_ours(agent, _OURS, _WRITTEN_IN)
            or next(filter(None, map(refusal, networks)), None)
            or not_ours(agent.log_alpha, _OF_PARTS["log_alpha"], _WRITTEN_IN)
            or not_ours(agent.popart, _OF_PARTS["popart"], _WRITTEN_IN)
            or _sizes_refused(agent)
            or misplaced(agent)
        )

    def reads(self, batch: Batch) -> bool:
        """Return whether it can compute a batch."""
        given = batch.target is None or readable(batch.target, tuple(batch.reward.shape))
        return given and super().reads(batch)

    def gradients_of(
        self,
        agent: ContinualSAC,
        batch: Batch,
        into: Mapping[str, Tensor] | None = None,
        hidden: dict[str, list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Compute losses and gradients; see `Learner.gradients_of`."""
        sac = self._sac
        if agent.settings.popart and batch.target is None:
            raw = self.targets(agent, batch)
            batch = replace(batch, target=agent.popart.normalise(raw, batch.task))
        gradients, kept = self._gradients(agent, into), self._read(agent, batch)
        target = None if batch.target is None else batch.target.contiguous()
        sac.given = None if target is None else target.data_ptr()
        sac.actor.gradients, sac.critic.gradients, sac.d_log_alpha = (
            gradients[part].data_ptr() for part in ("actor", "critic", "alpha")
        )
        ctypes.memset(sac.hidden, 0, ctypes.sizeof(sac.hidden))
        if hidden is not None:
            hidden["actor"] = keep_hidden(agent.actor, batch.reward.shape[1], sac.hidden[0])
            hidden["critic"] = keep_hidden(agent.critic, batch.reward.shape[1], sac.hidden[1])
        self._seeds.call("sac_gradients", sac, "sac_scratch")
        del kept
        actor, critic, alpha = self._losses.clone().unbind(1)
        return {"actor": actor, "critic": critic, "alpha": alpha}

    def targets(self, agent: ContinualSAC, batch: Batch) -> Tensor:
        """Return what the critics are to predict [S, B], in units of reward."""
        kept = self._read(agent, batch)
        result = torch.empty_like(batch.reward, memory_format=torch.contiguous_format)
        self._seeds.call("sac_targets", self._sac, "sac_scratch", result.data_ptr())
        del kept
        return result

    def act(
        self, agent: ContinualSAC, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        """Return the squashed policy's actions [S, K, A] for features [S, K, D].

        Raises:
            ValueError: features of another shape, or a task that is not there.
        """
        x, task = self._inputs(agent, features, task)
        self._set_numbers(agent)
        drawn = self._drawn(noise, (*x.shape[:2], agent.spaces.action_dim))
        return joined([self._act(agent, *block) for block in in_blocks(x, task, drawn)])

    def _act(self, agent: ContinualSAC, x: Tensor, task: int | Tensor, noise: Tensor) -> Tensor:
        actions = torch.empty(noise.shape)
        read = place(self._sac, {"obs": agent.with_task(x, task), "noise": noise}, task)
        self._seeds.call("sac_act", self._sac, "sac_scratch", actions.data_ptr())
        del read
        return actions

    def policy(self, agent: ContinualSAC, features: Tensor, task: int | Tensor) -> Tensor:
        """Return the actor's outputs [S, B, 2 A] for features [S, B, D], with a graph."""
        x = agent.with_task(features, task)
        return outputs(agent.actor, agent.flats["actor"], x, task, self._sac.actor)

    def _set_numbers(self, agent: ContinualSAC) -> None:
        """Set what may be given another value at any time."""
        self._sac.target_entropy = agent.target_entropy
        self._sac.log_std_min, self._sac.log_std_max = agent.log_std_range

    def _read(self, agent: ContinualSAC, batch: Batch) -> list[Tensor]:
        """Tell the compiled code where a batch is; returns what must outlive its call."""
        sac, task = self._sac, batch.task
        tensors = {name: getattr(batch, name) for name in self._numbers}
        for name in ("obs", "next_obs"):
            tensors[name] = agent.with_task(tensors[name], task)
        kept = place(sac, tensors, task)
        self._set_numbers(agent)
        if agent.settings.popart:
            mean, scale = agent.popart.mean.detach().contiguous(), agent.popart.scale.contiguous()
            kept += [mean, scale]
            sac.popart_mean, sac.popart_scale = mean.data_ptr(), scale.data_ptr()
        return kept


def _sizes_refused(agent: ContinualSAC) -> str | None:
    """Return what does not have the sizes that the agent's spaces and settings ask for."""
    if type(agent.log_alpha) is not LogAlpha or type(agent.popart) is not PopArt:
        return "entropy coefficients or PopArt are not the library's own"
    if agent.optimizers.keys() != {"actor", "critic", "alpha"}:
        return f"the trained parts are {', '.join(agent.optimizers)}"
    inputs, actions, heads = agent.input_dim, agent.spaces.action_dim, agent.n_heads
    one, twins = (agent.n_seeds,), (agent.n_seeds, 2)
    coefficients, statistics = (*one, agent.spaces.n_ids), (*one, heads)
    if agent.log_alpha.value.shape != coefficients or agent.popart.mean.shape != statistics:
        return "entropy coefficients or PopArt's statistics are not one per task or head"
    critics = (twins, inputs + actions, 1, heads)
    return (
        misshapen(agent.actor, one, inputs, 2 * actions, heads)
        or misshapen(agent.critic, *critics)
        or misshapen(agent.target_critic, *critics)
    )
