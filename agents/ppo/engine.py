"""PPO's losses and gradients by compiled code: what it gets, and where it is right."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from clrl.agents.native.engine import CompiledEngine, in_blocks, joined
from clrl.agents.native.function import outputs
from clrl.agents.native.library import CPpo, CPpoActs
from clrl.agents.native.network import (
    MAX_ROWS,
    describe,
    keep_hidden,
    misshapen,
    place,
    refusal,
    rows,
)
from clrl.agents.native.watched import misplaced, not_ours
from clrl.agents.networks.layers import HeadedNetwork, SeedBias
from clrl.agents.ppo.policy import GaussianPolicy
from clrl.agents.ppo.rollout import RolloutBatch

if TYPE_CHECKING:
    from clrl.agents.ppo.ppo import ContinualPPO

_OURS = ("losses", "prepare", "output_distributions", "action_distribution", "values",
         "with_task", "take_gradients")  # fmt: skip
"""What the compiled code stands in for."""
_OF_PARTS = {"policy_net": ("gaussian", "around", "_std")}
"""The same, of the policy."""
_WRITTEN_IN = ("clrl.agents.ppo.ppo", "clrl.agents.ppo.policy", "clrl.agents.acting",
               "clrl.agents.networks.gradients")  # fmt: skip
_NETWORKS = ("policy_net", "value_net")
_NUMBERS = ("log_prob", "value", "advantage", "returns")
_LOG_STD = "log_std.bias"


class PPOEngine(CompiledEngine):
    """`ContinualPPO.losses` and its gradients, seed by seed, in native/source/ppo.h.

    A seed's bits depend on nothing but the seed: not on its neighbours, the number of threads, the
    registers of the processor (AVX2 or AVX-512) or the compiler.
    """

    def __init__(self, agent: ContinualPPO):
        numbers: dict[str, tuple[int, ...]] = {name: () for name in _NUMBERS}
        numbers |= {"obs": (agent.spaces.feature_dim,), "action": (agent.spaces.action_dim,)}
        super().__init__(agent, _NETWORKS, _OURS, numbers, agent.spaces.n_ids, _OF_PARTS)
        self._losses = torch.zeros(agent.n_seeds, 2)
        policy = agent.flats["policy"]
        self._log_std_at = policy.flat.element_size() * policy.slots[_LOG_STD][0]
        self._ppo = CPpo(
            policy=describe(agent.policy_net, policy),
            value=describe(agent.value_net, agent.flats["value"]),
            log_std=policy.flat.data_ptr() + self._log_std_at,
            losses=self._losses.data_ptr(),
        )

    @staticmethod
    def refusal(agent: Any) -> str | None:
        """Return why it cannot stand in for an agent's own losses, None if it can."""
        if agent.settings.batch_size > MAX_ROWS:
            return f"batch_size is {agent.settings.batch_size}, more than {MAX_ROWS}"
        policy = agent.policy_net
        return (
            not_ours(agent, _OURS, _WRITTEN_IN)
            or refusal(policy, GaussianPolicy)
            or refusal(agent.value_net, HeadedNetwork)
            or not_ours(policy, _OF_PARTS["policy_net"], _WRITTEN_IN)
            or _sizes_refused(agent)
            or misplaced(agent)
        )

    def gradients_of(
        self,
        agent: ContinualPPO,
        batch: RolloutBatch,
        into: Mapping[str, Tensor] | None = None,
        hidden: dict[str, list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Compute losses and gradients; see `Learner.gradients_of`."""
        ppo = self._ppo
        self._set_weights(agent)
        tensors = {name: getattr(batch, name) for name in self._numbers}
        tensors["obs"] = agent.with_task(batch.obs, batch.task)
        tensors["old_value"] = tensors.pop("value")
        gradients, read = self._gradients(agent, into), place(ppo, tensors, batch.task)
        ppo.policy.gradients, ppo.value.gradients = (
            gradients[part].data_ptr() for part in ("policy", "value")
        )
        ppo.d_log_std = ppo.policy.gradients + self._log_std_at
        ctypes.memset(ppo.hidden, 0, ctypes.sizeof(ppo.hidden))
        if hidden is not None:
            hidden["policy"] = keep_hidden(agent.policy_net, ppo.rows, ppo.hidden[0])
            hidden["value"] = keep_hidden(agent.value_net, ppo.rows, ppo.hidden[1])
        self._seeds.call("ppo_gradients", ppo, "ppo_scratch")
        del read
        policy, value = self._losses.clone().unbind(1)
        return {"policy": policy, "value": value}

    def _set_weights(self, agent: ContinualPPO) -> None:
        """Set what the losses depend on beside networks and batch."""
        s, ppo = agent.settings, self._ppo
        left = s.left(s.clip_range_schedule, agent.num_timesteps)
        clip = s.clip_range * left
        ppo.least_ratio, ppo.most_ratio = 1 - clip, 1 + clip
        ppo.clip_value = math.inf if s.clip_range_vf is None else s.clip_range_vf * left
        ppo.entropy_weight, ppo.value_weight = s.ent_coef, s.vf_coef
        ppo.normalise = s.normalize_advantage == "minibatch"

    def means(self, agent: ContinualPPO, features: Tensor, task: int | Tensor) -> Tensor:
        """Return mean actions [S, B, A] for features [S, B, D], with a graph."""
        x = agent.with_task(features, task)
        return outputs(agent.policy_net, agent.flats["policy"], x, task, self._ppo.policy)

    def act(
        self,
        agent: ContinualPPO,
        features: np.ndarray,
        task: int | Tensor,
        noise: np.ndarray | None = None,
        wanted: Sequence[str] = ("actions",),
    ) -> dict[str, np.ndarray]:
        """Return what is wanted at features [S, K, D]; see `clrl.agents.ppo.acting.act`."""
        (x, task), drawn = self._inputs(agent, features, task), []
        if noise is not None:
            drawn.append(self._drawn(noise, (*x.shape[:2], agent.spaces.action_dim)))
        found = [self._act(agent, wanted, *block) for block in in_blocks(x, task, *drawn)]
        return {name: joined([block[name] for block in found]) for name in wanted}

    def _act(
        self,
        agent: ContinualPPO,
        wanted: Sequence[str],
        x: Tensor,
        task: int | Tensor,
        noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        acts, found = CPpoActs(), {name: torch.empty(x.shape[:2]) for name in wanted}
        if noise is not None:
            acts.noise = rows(noise)
            found["actions"] = torch.empty(noise.shape)
        for name, tensor in found.items():
            setattr(acts, name, tensor.data_ptr())
        read = place(self._ppo, {"obs": agent.with_task(x, task)}, task)
        self._seeds.call("ppo_act", self._ppo, "ppo_scratch", ctypes.addressof(acts))
        del read
        return found


def _sizes_refused(agent: ContinualPPO) -> str | None:
    """Return what does not have the sizes that the agent's spaces and settings ask for."""
    one, inputs, heads = (agent.n_seeds,), agent.input_dim, agent.n_heads
    actions, noise = agent.spaces.action_dim, agent.policy_net.log_std
    if type(noise) is not SeedBias or noise.bias.shape != (*one, heads * actions):
        return "the action noise is not one per action and head"
    if agent.optimizers.keys() != {"policy", "value"}:
        return f"the trained parts are {', '.join(agent.optimizers)}"
    return misshapen(
        agent.policy_net, one, inputs, actions, heads, {_LOG_STD: noise.bias.shape}
    ) or misshapen(agent.value_net, one, inputs, 1, heads)
