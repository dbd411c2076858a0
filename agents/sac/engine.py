"""SAC's losses and gradients by compiled code: what it gets, and where it is right."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from clrl.agents.native.calls import Seeds
from clrl.agents.native.function import outputs
from clrl.agents.native.library import CSac
from clrl.agents.native.network import (
    MAX_ROWS,
    Watched,
    describe,
    keep_hidden,
    not_ours,
    readable,
    refusal,
    rows,
    watched_parameters,
)
from clrl.agents.sac.replay import Batch

if TYPE_CHECKING:
    from clrl.agents.sac.sac import ContinualSAC

_OURS = ("losses", "prepare", "output_distributions", "action_distribution", "with_task",
         "_soft_target", "_q")  # fmt: skip
"""What the compiled code stands in for."""
_WRITTEN_IN = ("clrl.agents.sac.sac", "clrl.agents.acting")
_READ = ("obs", "action", "reward", "next_obs", "done", "noise", "next_noise")


class SACEngine:
    """`ContinualSAC.losses` and its gradients, seed by seed, in native/source/sac.h.

    A seed's bits depend on nothing but the seed: not on its neighbours, the number of threads, the
    registers of the processor (AVX2 or AVX-512) or the compiler.
    """

    def __init__(self, agent: ContinualSAC):
        networks = [agent.actor, agent.critic, agent.target_critic]
        own = vars(agent)
        places = [(own, name, own[name]) for name in ("actor", "critic", "target_critic")]
        places += [(own, name, None) for name in _OURS]
        self._watched = Watched([*places, *watched_parameters(agent)], networks)
        self._losses = torch.zeros(agent.n_seeds, 3)
        self._unasked = {part: torch.zeros(0) for part in agent.optimizers}
        self._seeds = Seeds(agent.n_seeds)
        flats, log_alpha = agent.flats, agent.log_alpha.value
        self._sac = CSac(
            actor=describe(agent.actor, flats["actor"]),
            critic=describe(agent.critic, flats["critic"]),
            target=describe(agent.target_critic, flats["target"]),
            features=agent.input_dim,
            actions=agent.spaces.action_dim,
            tasks=log_alpha.shape[1],
            gamma=agent.settings.gamma,
            target_entropy=agent.target_entropy,
            log_std_min=agent.log_std_range[0],
            log_std_max=agent.log_std_range[1],
            log_alpha=log_alpha.data_ptr(),
            losses=self._losses.data_ptr(),
        )

    @staticmethod
    def refusal(agent: Any) -> str | None:
        """Return why it cannot stand in for an agent's own losses, None if it can."""
        if agent.settings.batch_size > MAX_ROWS:
            return f"batch_size is {agent.settings.batch_size}, more than {MAX_ROWS}"
        networks = (agent.actor, agent.critic, agent.target_critic)
        ours = not_ours(agent, _OURS, _WRITTEN_IN)
        return ours or next(filter(None, map(refusal, networks)), None)

    def unchanged(self) -> bool:
        """Return whether networks and parameters are still those that it was made for."""
        return self._watched.unchanged()

    def reads(self, batch: Batch) -> bool:
        """Return whether it can compute a batch."""
        few = batch.reward.shape[1] <= MAX_ROWS
        return few and all(readable(getattr(batch, name)) for name in _READ)

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
        target = batch.target
        kept = self._read(agent, batch)
        if target is not None:
            kept.append(target.contiguous())
            sac.given = kept[-1].data_ptr()
        gradients = self._gradients(agent, into)
        sac.actor.gradients, sac.critic.gradients, sac.d_log_alpha = (
            gradients[part].data_ptr() for part in ("actor", "critic", "alpha")
        )
        if hidden is not None:
            hidden["actor"] = keep_hidden(agent.actor, batch.reward.shape[1], sac.hidden[0])
            hidden["critic"] = keep_hidden(agent.critic, batch.reward.shape[1], sac.hidden[1])
        self._seeds.call("sac_gradients", sac, "sac_scratch")
        sac.given = None
        ctypes.memset(sac.hidden, 0, ctypes.sizeof(sac.hidden))
        actor, critic, alpha = self._losses.clone().unbind(1)
        return {"actor": actor, "critic": critic, "alpha": alpha}

    def targets(self, agent: ContinualSAC, batch: Batch) -> Tensor:
        """Return what the critics are to predict [S, B], in units of reward."""
        kept = self._read(agent, batch)
        result = torch.empty_like(batch.reward, memory_format=torch.contiguous_format)
        kept.append(result)
        self._seeds.call("sac_targets", self._sac, "sac_scratch", result.data_ptr())
        return result

    def act(
        self, agent: ContinualSAC, features: np.ndarray, task: int | Tensor, noise: np.ndarray
    ) -> np.ndarray:
        """Return the squashed policy's actions [S, K, A] for features [S, K, D]."""
        actions = np.empty((*features.shape[:2], agent.spaces.action_dim), np.float32)
        drawn = np.array(np.broadcast_to(noise, actions.shape), np.float32)
        for first in range(0, features.shape[1], MAX_ROWS):
            some = slice(first, first + MAX_ROWS)
            x = torch.from_numpy(np.ascontiguousarray(features[:, some], np.float32))
            if not isinstance(task, int):
                task = task.expand(features.shape[:2])
            own = task if isinstance(task, int) else task[:, some].contiguous()
            x, z = agent.with_task(x, own), torch.from_numpy(drawn[:, some])
            result = torch.empty(*x.shape[:2], actions.shape[2])
            sac = self._sac
            sac.obs, sac.noise, sac.rows = rows(x), rows(z), x.shape[1]
            if isinstance(own, int):
                sac.task, sac.task_ids = own, None
            else:
                sac.task_ids = own.data_ptr()
            self._seeds.call("sac_act", sac, "sac_scratch", result.data_ptr())
            actions[:, some] = result.numpy()
        return actions

    def policy(self, agent: ContinualSAC, features: Tensor, task: int | Tensor) -> Tensor:
        """Return the actor's outputs [S, B, 2 A] for features [S, B, D], with a graph."""
        x = agent.with_task(features, task)
        return outputs(agent.actor, agent.flats["actor"], x, task, self._sac.actor)

    def _gradients(
        self, agent: ContinualSAC, into: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        """Return where the gradients of every part go; some that are not asked for, to nowhere."""
        own = {part: optimizer.grad for part, optimizer in agent.optimizers.items()}
        if into is None:
            return own
        for part in own.keys() - into.keys():
            if self._unasked[part].shape != own[part].shape:
                self._unasked[part] = torch.zeros_like(own[part])
        return self._unasked | dict(into)

    def _read(self, agent: ContinualSAC, batch: Batch) -> list[Tensor]:
        """Tell the compiled code where a batch is; returns what must outlive its call."""
        sac, task = self._sac, batch.task
        tensors = {name: getattr(batch, name) for name in _READ}
        for name in ("obs", "next_obs"):
            tensors[name] = agent.with_task(tensors[name], task)
        for name, tensor in tensors.items():
            setattr(sac, name, rows(tensor))
        sac.rows = batch.reward.shape[1]
        kept = list(tensors.values())
        if isinstance(task, int):
            sac.task, sac.task_ids = task, None
        else:
            kept.append(task.contiguous())
            sac.task_ids = kept[-1].data_ptr()
        if agent.settings.popart:
            mean, scale = agent.popart.mean.detach().contiguous(), agent.popart.scale.contiguous()
            kept += [mean, scale]
            sac.popart_mean, sac.popart_scale = mean.data_ptr(), scale.data_ptr()
        return kept
