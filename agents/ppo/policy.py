"""PPO's networks: the Gaussian policy and what it reports, first weights, the joint clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from clrl.agents.native import sums
from clrl.agents.networks.adam import FlatParameters, clip_norm
from clrl.agents.networks.distributions import Gaussian
from clrl.agents.networks.layers import Activation, HeadedNetwork, SeedBias, SeedLinear
from clrl.agents.ppo.rollout import RolloutBatch
from clrl.agents.ppo.settings import PPOSettings

# The order in which Stable-Baselines3 adds up the norms of gradients; it decides the last bits.
_CLIP_ORDER = ("policy.log_std", "policy.core", "value.core", "policy.head", "value.head")
_CLIP_RANK = {name: rank for rank, name in enumerate(_CLIP_ORDER)}
_CLIP_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_
_POLICY_HEAD_GAIN, _VALUE_HEAD_GAIN = 0.01, 1.0
_LOG_SQRT_2PI = math.log(math.sqrt(2.0 * math.pi))

Policy = Callable[[RolloutBatch], Gaussian]
Initialisation = Literal["orthogonal", "lecun", "glorot"]


class GaussianPolicy(HeadedNetwork):
    """Mean actions from a network, and an action noise that depends on the task only.

    Args: see `HeadedNetwork`; `log_std.bias` [S, heads * actions] has the layout of a head's bias.
    """

    def __init__(
        self,
        lead: Sequence[int],
        inputs: int,
        actions: int,
        heads: int,
        hidden: Sequence[int],
        layer_norm: bool,
        activation: Activation,
    ):
        super().__init__(lead, inputs, actions, heads, hidden, layer_norm, activation)
        self.log_std = SeedBias(lead, actions * heads)

    def gaussian(self, x: Tensor, task: int | Tensor) -> Gaussian:
        """Return the distributions of actions for inputs [S, B, inputs]; tasks as in `forward`."""
        return self.around(self(x, task), task)

    def around(self, mean: Tensor, task: int | Tensor) -> Gaussian:
        """Return the distributions of actions around means [S, B, A]."""
        return Gaussian(mean, self._std(mean, task))

    def _std(self, mean: Tensor, task: int | Tensor) -> Tensor:
        log_std = self.log_std.bias.unflatten(-1, (self.heads, self.outputs))
        if self.heads > 1:
            if isinstance(task, int):
                log_std = log_std[:, task : task + 1]
            else:
                log_std = log_std.gather(1, task.unsqueeze(-1).expand(-1, -1, self.outputs))
        if self.log_std.tape is not None:
            log_std = log_std.expand_as(mean)
            self.log_std.tape.append((None, log_std))
        return log_std.exp().expand_as(mean)


def log_prob(gaussian: Gaussian, action: Tensor) -> Tensor:
    """Return the log-probabilities [S, B] of actions [S, B, A].

    Computed step by step as torch.distributions.Normal does, for the same bits.
    """
    mean, std = gaussian.mean, gaussian.std
    terms = -((action - mean) ** 2) / (2 * std**2) - std.log() - _LOG_SQRT_2PI
    return terms.sum(-1)


def entropy(gaussian: Gaussian) -> Tensor:
    """Return the entropies [S, B]."""
    return (0.5 + 0.5 * math.log(2.0 * math.pi) + gaussian.std.log()).sum(-1)


@torch.no_grad()
def moved(policy: Policy, batch: RolloutBatch) -> float:
    """Return how far the policy of one seed is from the one that acted: a mean KL divergence."""
    return float(_divergence(_log_ratio(policy(batch), batch)).mean(-1))


@torch.no_grad()
def diagnosis(policy: Policy, batch: RolloutBatch, clip_range: float) -> dict[str, Tensor]:
    """Return {name: [S]}, what updates did to a policy and how good the values were."""
    gaussian = policy(batch)
    log_ratio = _log_ratio(gaussian, batch)
    clipped = (log_ratio.exp() - 1).abs() > clip_range
    return {
        "policy/entropy": entropy(gaussian).mean(-1),
        "policy/approx_kl": _divergence(log_ratio).mean(-1),
        "policy/clip_fraction": clipped.float().mean(-1),
        "value/explained_variance": batch.explained_variance(),
    }


def _log_ratio(gaussian: Gaussian, batch: RolloutBatch) -> Tensor:
    return log_prob(gaussian, batch.action) - batch.log_prob


def _divergence(log_ratio: Tensor) -> Tensor:
    return (log_ratio.exp() - 1) - log_ratio


def make_networks(
    lead: Sequence[int], inputs: int, actions: int, heads: int, settings: PPOSettings
) -> tuple[GaussianPolicy, HeadedNetwork]:
    """Return policy and value network, whose weights are still to be drawn."""
    name, hidden = settings.activation, settings.hidden_sizes
    layer_norm = name == "continual_world"
    shape = (heads, hidden, layer_norm, "leaky_relu" if name == "continual_world" else name)
    return GaussianPolicy(lead, inputs, actions, *shape), HeadedNetwork(lead, inputs, 1, *shape)


def draw_weights(
    policy: GaussianPolicy,
    value: HeadedNetwork,
    settings: PPOSettings,
    rngs: Sequence[np.random.Generator],
) -> None:
    """Draw the first weights of policy and value, each seed from its own generator."""
    initialise(policy, settings.initialisation, rngs, _POLICY_HEAD_GAIN)
    initialise(value, settings.initialisation, rngs, _VALUE_HEAD_GAIN)
    policy.log_std.bias.data.fill_(settings.log_std_init)


def initialise(
    network: HeadedNetwork,
    scheme: Initialisation,
    rngs: Sequence[np.random.Generator],
    head_gain: float,
) -> None:
    """Draw all weights, each seed from its own generator; biases are 0.

    Args:
        network: a policy or value network with leading axes (S,).
        scheme: "orthogonal" as Stable-Baselines3 (hidden layers with gain sqrt(2), every head by
            itself), "lecun" uniform with bound sqrt(3 / inputs) (Dohare et al. 2024, all layers),
            or "glorot" uniform as Continual World.
        rngs: one generator per seed.
        head_gain: gain of an orthogonal head.
    """
    network.initialise(rngs, head_fan_out=network.outputs * network.heads)
    if scheme == "glorot":
        return
    for layer in network.core.layers:
        assert isinstance(layer, SeedLinear)
        _redraw(layer, scheme, rngs, 1, math.sqrt(2.0))
    _redraw(network.head, scheme, rngs, network.heads, head_gain)


@torch.no_grad()
def _redraw(
    layer: SeedLinear,
    scheme: Literal["orthogonal", "lecun"],
    rngs: Sequence[np.random.Generator],
    blocks: int,
    gain: float,
) -> None:
    outputs, inputs = layer.weight.shape[-2:]
    for weight, rng in zip(layer.weight, rngs, strict=True):
        if scheme == "lecun":
            bound = math.sqrt(3.0 / inputs)
            draw = rng.uniform(-bound, bound, size=(outputs, inputs))
        else:
            size = outputs // blocks
            draw = gain * np.concatenate([_orthogonal(rng, size, inputs) for _ in range(blocks)])
        weight.copy_(torch.from_numpy(draw))


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return a random matrix with orthonormal rows or columns, whichever are fewer."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # uniform over such matrices
    return q if rows >= columns else q.T


def clip_together(
    flats: Mapping[str, FlatParameters], max_norm: float, compiled: bool = False
) -> None:
    """Clip the norm of policy's and value's gradients together, added up as Stable-Baselines3 does.

    Args:
        flats: of "policy" and "value".
        max_norm: the largest norm allowed, of each seed.
        compiled: whether compiled code adds up (`Learner.compiled`), in its own order.
    """
    if compiled:
        sums.clip(list(flats.values()), max_norm, _CLIP_EPS)
        return
    gradients = [
        (f"{part}.{name.split('.')[0]}", gradient)
        for part, flat in flats.items()
        for name, (_, gradient) in zip(flat.slots, flat.gradient_slots, strict=True)
    ]
    gradients.sort(key=lambda pair: _CLIP_RANK.get(pair[0], len(_CLIP_RANK)))
    clip_norm([gradient for _, gradient in gradients], max_norm, _CLIP_EPS)
