"""What PPO does at observations and what it knows of that, by compiled code or by torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clrl.agents.networks.layers import full_precision
from clrl.agents.ppo.policy import log_prob

if TYPE_CHECKING:
    from clrl.agents.ppo.ppo import ContinualPPO


@torch.no_grad()
def act(
    agent: ContinualPPO,
    features: np.ndarray,
    task: int | Tensor,
    noise: np.ndarray | None = None,
    wanted: Sequence[str] = ("actions",),
) -> dict[str, np.ndarray]:
    """Return what is wanted at features [S, K, D].

    Args:
        agent: that acts.
        features: without the task's one-hot.
        task: one for all rows, or task ids [S, K].
        noise: of the actions [S, K, A]; None where none are wanted.
        wanted: of "actions" [S, K, A] before they are clipped, "log_prob" [S, K] of these, and
            "value" [S, K].
    """
    engine = agent.engine()
    if engine is not None:
        actions: dict[str, np.ndarray] = engine.act(agent, features, task, noise, wanted)
        return actions
    x, found = torch.from_numpy(features).to(agent.device), dict[str, Tensor]()
    with full_precision():
        gaussian = None if noise is None else agent.action_distribution(x, task)
        if "value" in wanted:
            found["value"] = agent.values(x, task)
    if noise is not None and gaussian is not None:
        drawn = torch.from_numpy(noise).to(agent.device)
        found["actions"] = gaussian.mean + drawn * gaussian.std
        found["log_prob"] = log_prob(gaussian, found["actions"])
    return {name: found[name].cpu().numpy() for name in wanted}
