"""The squashed Gaussian, its entropy and the coefficients."""

import math

import pytest
import torch
from torch import Tensor

from clrl.agents.sac.policy import LogAlpha, squash, target_entropy


def log_prob(u: Tensor) -> Tensor:
    """Return minus the correction of `squash` for pre-squash actions u (and a normal of 0)."""
    noise, log_std = torch.zeros_like(u), torch.full_like(u, -0.5 * math.log(2.0 * math.pi))
    return squash(u.unsqueeze(-1), log_std.unsqueeze(-1), noise.unsqueeze(-1))[1]


def test_the_correction_is_the_log_of_the_derivative_of_tanh() -> None:
    u = torch.linspace(-5.0, 5.0, 1001, dtype=torch.float64)
    expected = torch.log(1.0 - torch.tanh(u).square())
    torch.testing.assert_close(-log_prob(u), expected, rtol=0, atol=1e-10)


def test_the_correction_is_finite_where_the_naive_form_is_not() -> None:
    u = torch.linspace(-50.0, 50.0, 1001)
    assert bool(torch.isfinite(log_prob(u)).all())
    assert bool(torch.isinf(torch.log(1.0 - torch.tanh(u).square())).any())


def test_the_correction_has_the_worked_values() -> None:
    u = torch.tensor([0.3, -2.0, 8.0, -15.0], dtype=torch.float64)
    expected = torch.tensor([-0.0887, -2.6500, -14.6137, -28.6137], dtype=torch.float64)
    torch.testing.assert_close(-log_prob(u), expected, rtol=0, atol=5e-5)


def test_log_probabilities_are_those_of_torchs_squashed_normal() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_std, noise = torch.randn(3, 100, 4, generator=generator, dtype=torch.float64)
    action, ours = squash(mean, log_std, noise)
    theirs = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, log_std.exp()),
        torch.distributions.TanhTransform(cache_size=0),
    )
    torch.testing.assert_close(action, torch.tanh(mean + log_std.exp() * noise))
    inside = action.abs().amax(-1) < 0.999
    torch.testing.assert_close(
        ours[inside], theirs.log_prob(action).sum(-1)[inside], rtol=1e-8, atol=1e-8
    )


def test_target_entropies_have_the_worked_values() -> None:
    assert target_entropy(4, 0.089) == pytest.approx(-4.000721504, abs=1e-9)
    assert target_entropy(8, 0.089) == pytest.approx(-8.001443008, abs=1e-9)


def test_a_batch_gets_the_coefficients_of_its_tasks() -> None:
    alpha, one = LogAlpha(2, 3), LogAlpha(2, 1)
    alpha.value.data = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    ids = torch.tensor([[2, 0, 2, 1], [1, 1, 0, 2]])
    assert alpha.of(1).tolist() == [[2.0], [5.0]]
    assert alpha.of(ids).tolist() == [[3.0, 1.0, 3.0, 2.0], [5.0, 5.0, 4.0, 6.0]]
    assert one.of(ids).shape == one.of(0).shape == (2, 1)
