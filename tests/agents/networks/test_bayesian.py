"""Gaussian layers and their KL divergence."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from clrl.agents.networks.bayesian import BayesianLinear, kl_divergence
from clrl.agents.networks.layers import SeedLinear


def layer(rho: float = -1.0, n_seeds: int = 2) -> tuple[BayesianLinear, list[Tensor]]:
    """Return a random layer, and a list that its noise goes to."""
    generator, drawn = torch.Generator().manual_seed(0), []

    def noise(shape: tuple[int, int]) -> Tensor:
        drawn.append(torch.randn(n_seeds, *shape, generator=generator))
        return drawn[-1]

    plain = SeedLinear((n_seeds,), 3, 4)
    for parameter in plain.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return BayesianLinear(plain, rho, noise), drawn


def kl(*numbers: float) -> float:
    return float(kl_divergence(*(torch.tensor([[n]]) for n in numbers)))


@pytest.mark.parametrize("rows", [None, slice(1, 3)])
def test_a_pass_is_one_draw_of_the_weights_for_the_whole_batch(rows: slice | None) -> None:
    bayesian, drawn = layer()
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    y = bayesian(x, rows)
    (eps,), used = drawn, rows or slice(None)
    assert eps.shape == (2, 4, 2 if rows else 4)  # for the rows used only
    for s in range(2):
        weight = bayesian.weight[s, used] + math.exp(-0.5) * eps[s, :3].T
        bias = bayesian.bias[s, used] + math.exp(-0.5) * eps[s, 3]
        torch.testing.assert_close(y[s], x[s] @ weight.T + bias)
    assert not torch.equal(bayesian(x, rows), y)


def test_gradients_of_mean_and_log_variance_are_those_of_the_formula() -> None:
    bayesian, drawn = layer()
    x = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(1))
    bayesian(x).sum().backward()
    grads = {name: p.grad for name, p in bayesian.named_parameters()}
    expanded = x.expand(2, 4, 3)
    noise = 0.5 * math.exp(-0.5) * drawn[0]
    torch.testing.assert_close(grads["weight"], expanded)
    torch.testing.assert_close(grads["weight_rho"], expanded * noise[:, :3].transpose(1, 2))
    torch.testing.assert_close(grads["bias_rho"], noise[:, 3])


def test_outputs_have_the_mean_and_the_variance_of_the_posterior() -> None:
    bayesian, _ = layer(rho=-2.0, n_seeds=1)
    x = torch.tensor([[[0.5, -1.0, 2.0]]])
    with torch.no_grad():
        draws = torch.stack([bayesian(x)[0, 0] for _ in range(4000)])
        mean = x[0] @ bayesian.weight[0].T + bayesian.bias[0]
    expected = math.exp(-1.0) * math.sqrt(0.25 + 1.0 + 4.0 + 1.0)
    torch.testing.assert_close(draws.mean(0), mean[0], atol=4 * expected / 63, rtol=0)
    torch.testing.assert_close(draws.std(0), torch.full((4,), expected), atol=0, rtol=0.05)


def test_the_kl_has_the_worked_value() -> None:
    assert kl(0.3, -6.0, 0.0, 0.0) == pytest.approx(2.5462393761, rel=1e-6)


def test_the_kl_is_torchs_for_gaussians_and_summed_for_each_seed() -> None:
    generator = torch.Generator().manual_seed(0)
    q_mean, q_rho, p_mean, p_rho = torch.randn(4, 3, 20, 10, generator=generator)
    ours = kl_divergence(q_mean, q_rho, p_mean, p_rho)
    q = Normal(q_mean.double(), (0.5 * q_rho).exp().double())
    p = Normal(p_mean.double(), (0.5 * p_rho).exp().double())
    expected = torch_kl(q, p).sum((1, 2)).float()
    torch.testing.assert_close(ours, expected)
    assert (kl_divergence(q_mean, q_rho, q_mean, q_rho) == 0).all()
    assert min(kl(0.0, 1e-3 * i, 0.0, 0.0) for i in range(-5, 6)) >= 0
