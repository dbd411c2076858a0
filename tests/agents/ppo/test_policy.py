"""PPO's policy: probabilities, first weights, the clip."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from clrl.agents.networks.distributions import Gaussian
from clrl.agents.ppo import ContinualPPO
from clrl.agents.ppo.policy import clip_together, entropy, log_prob
from tests.agents.tiny import (
    method,
    ppo,
    same_bits,
    weights,
)


def test_log_probability_and_entropy_are_those_of_torchs_normal() -> None:
    mean, log_std, action = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    gaussian, normal = Gaussian(mean, log_std.exp()), Normal(mean, log_std.exp())
    assert torch.equal(log_prob(gaussian, action), normal.log_prob(action).sum(-1))
    assert torch.equal(entropy(gaussian), normal.entropy().sum(-1))


@pytest.mark.parametrize("scheme, bound", [("lecun", (3 / 3) ** 0.5), ("glorot", (6 / 19) ** 0.5)])
def test_uniform_first_weights_have_their_bound(scheme: str, bound: float) -> None:
    w = weights(ppo(seeds=(0, 1), initialisation=scheme, log_std_init=-0.5))
    for part in ("policy", "value"):
        first = w[f"{part}.core.layers.0.weight"]
        assert 0.9 * bound < float(first.abs().max()) <= bound
        assert not torch.equal(first[0], first[1])
        assert bool((w[f"{part}.core.layers.1.bias"] == 0).all())
    if scheme == "lecun":
        assert 0.35 < float(w["value.head.weight"].abs().max()) <= (3 / 16) ** 0.5
    assert bool((w["policy.log_std.bias"] == -0.5).all())


def test_orthogonal_first_weights_are_those_of_stable_baselines_in_every_head() -> None:
    w = weights(ppo(seeds=(0, 1), n_tasks=3))
    eye = torch.eye(16)
    for part, gain in (("policy", 0.01), ("value", 1.0)):
        hidden = w[f"{part}.core.layers.1.weight"]
        torch.testing.assert_close(hidden @ hidden.mT, (2 * eye).expand(2, -1, -1))
        heads = w[f"{part}.head.weight"].unflatten(1, (3, -1))
        outputs = heads.shape[2]
        square = gain**2 * torch.eye(outputs).expand(2, 3, -1, -1)
        torch.testing.assert_close(heads @ heads.mT, square, rtol=1e-4, atol=1e-9)
        assert not torch.equal(heads[:, 0], heads[:, 1])


def test_what_is_protected_is_the_core_or_with_one_head_the_policy() -> None:
    core = [f"core.layers.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")]
    assert sorted(ppo().protected_parameters()) == sorted(core)
    single = ["head.weight", "head.bias", "log_std.bias"]
    assert sorted(ppo(multi_head=False).protected_parameters()) == sorted(core + single)


def test_the_fisher_information_of_the_log_deviation_is_two() -> None:
    agent = ppo(seeds=(0, 1), method=method("ewc"), multi_head=False, log_std_init=-1.2)
    agent.learn(64)
    importance = agent.method.state["importance.log_std.bias"]
    torch.testing.assert_close(importance, torch.full((2, 2), 2.0), rtol=1e-4, atol=0)


def with_gradients(sizes: tuple[float, ...], **settings: Any) -> ContinualPPO:
    """Return an agent whose seeds have random gradients of about these sizes."""
    agent = ppo(seeds=range(len(sizes)), **settings)
    generator = torch.Generator().manual_seed(0)
    for view in gradients(agent):
        for own, size in zip(view, sizes, strict=True):
            own.copy_(size * torch.randn(own.shape, generator=generator))
    return agent


def gradients(agent: ContinualPPO) -> list[Tensor]:
    return [view for o in agent.optimizers.values() for _, view in o.parameters.gradient_slots]


@pytest.mark.parametrize("hidden", [(16, 16), (7, 33), (96, 64)])
def test_the_compiled_clip_is_that_of_torch(hidden: tuple[int, ...]) -> None:
    sizes = (1.0, 1e-4, 30.0)
    agent, other, before = (with_gradients(sizes, hidden_sizes=hidden) for _ in range(3))
    clip_together(agent.flats, 0.5, compiled=True)
    clip_together(other.flats, 0.5)
    for found, expected, start in zip(*map(gradients, (agent, other, before)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        assert same_bits(found[1], start[1])  # short enough
