"""Adam on flat parameters: torch's and Keras' formulas, and independence of seeds."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clrl.agents.networks.adam import Clock, FlatParameters, SeedAdam

STEPS = 200


class Parameters(nn.Module):
    """A matrix and a vector per seed, of odd sizes."""

    def __init__(self, n_seeds: int, start: Tensor | None = None):
        super().__init__()
        start = draws(n_seeds, 0) if start is None else start
        self.matrix = nn.Parameter(start[:, :35].reshape(-1, 7, 5).clone())
        self.vector = nn.Parameter(start[:, 35:].clone())


def draws(n_seeds: int, step: int) -> Tensor:
    """Return 46 numbers per seed; a seed's do not depend on the number of seeds."""
    generators = [torch.Generator().manual_seed(1000 * step + s) for s in range(n_seeds)]
    return torch.stack([torch.randn(46, generator=g) for g in generators])


def set_gradients(flat: FlatParameters, values: Tensor) -> None:
    assert flat.grad is not None
    views = flat.views(flat.grad)
    views["matrix"].copy_(values[:, :35].reshape(-1, 7, 5))
    views["vector"].copy_(values[:, 35:])


def joined(flat: FlatParameters, tensor: Tensor | None = None) -> Tensor:
    """Return all parameters of each seed in one row."""
    views = flat.views(flat.flat if tensor is None else tensor)
    return torch.cat([view.flatten(1) for view in views.values()], dim=1).clone()


def make(n_seeds: int, start: Tensor | None = None, **kwargs: Any) -> SeedAdam:
    flat = FlatParameters(dict(Parameters(n_seeds, start).named_parameters()), (n_seeds,))
    return SeedAdam(flat, lr=1e-2, **kwargs)


def trained(n_seeds: int, steps: int = STEPS, **kwargs: Any) -> SeedAdam:
    adam = make(n_seeds, **kwargs)
    for step in range(1, steps + 1):
        set_gradients(adam.parameters, draws(n_seeds, step))
        adam.step()
    return adam


def test_flat_parameters_are_the_modules_own() -> None:
    module = Parameters(3)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    flat = FlatParameters(dict(module.named_parameters()), (3,))
    assert {name: (slot[1]) for name, slot in flat.slots.items()} == {
        "matrix": torch.Size([3, 7, 5]),
        "vector": torch.Size([3, 11]),
    }
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])
    flat.flat.mul_(2.0)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, 2.0 * before[name])
    assert flat.flat.numel() % 64 == 0


def test_two_hundred_steps_are_torchs_adam() -> None:
    adam = trained(2, eps=1e-8)
    start = draws(2, 0)
    reference = nn.Parameter(start.clone())
    theirs = torch.optim.Adam([reference], lr=1e-2, eps=1e-8)
    for step in range(1, STEPS + 1):
        reference.grad = draws(2, step)
        theirs.step()
    torch.testing.assert_close(joined(adam.parameters), reference.detach(), rtol=0, atol=1e-6)
    assert float((joined(adam.parameters) - reference.detach()).abs().mean()) < 1e-7


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_the_keras_form_adds_epsilon_to_the_uncorrected_root(scale: float) -> None:
    adam = make(2, eps=1e-7, keras_eps=True)
    x, m, v = draws(2, 0).double(), torch.zeros(2, 46).double(), torch.zeros(2, 46).double()
    for step in range(1, STEPS + 1):
        g = scale * draws(2, step)
        set_gradients(adam.parameters, g)
        adam.step()
        m = 0.9 * m + 0.1 * g.double()
        v = 0.999 * v + 0.001 * g.double() ** 2
        rate = 1e-2 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        x = x - rate * m / (v.sqrt() + 1e-7)
    torch.testing.assert_close(joined(adam.parameters).double(), x, rtol=0, atol=3e-6)


def test_the_two_forms_differ_in_the_first_steps_of_tiny_gradients() -> None:
    gradient = torch.full((1, 46), 1e-7)
    moves = []
    for keras in (False, True):
        adam = make(1, torch.zeros(1, 46), eps=1e-7, keras_eps=keras)
        set_gradients(adam.parameters, gradient)
        adam.step()
        moves.append(float(-joined(adam.parameters)[0, 0]))
    # m/(1-b1) = 1e-7; torch: /(1e-7 + eps); Keras: eps divided by sqrt(1 - 0.999) = 0.0316.
    assert moves[0] == pytest.approx(1e-2 / 2.0, rel=1e-4)
    assert moves[1] == pytest.approx(1e-2 / (1.0 + 1.0 / 0.0316228), rel=1e-4)


def test_a_seed_does_not_depend_on_how_many_stand_beside_it() -> None:
    three = trained(3)
    for n_seeds in (1, 2):
        fewer = trained(n_seeds)
        assert torch.equal(joined(fewer.parameters), joined(three.parameters)[:n_seeds])
        for name, moment in fewer.tensors().items():
            assert torch.equal(moment, three.tensors()[name][:n_seeds])


def test_a_reset_optimizer_is_a_fresh_one() -> None:
    used = trained(2, steps=20)
    fresh = make(2, joined(used.parameters))
    used.reset()
    assert used.numbers() == fresh.numbers() == {"step": 0}
    for adam in (used, fresh):
        for step in range(5):
            set_gradients(adam.parameters, draws(2, 50 + step))
            adam.step()
    assert torch.equal(joined(used.parameters), joined(fresh.parameters))


def moves(adam: SeedAdam, steps: int, others: Sequence[SeedAdam] = ()) -> list[float]:
    """Return the sizes of steps for a constant gradient, in learning rates."""
    sizes = []
    for _ in range(steps):
        before = joined(adam.parameters)
        for each in (adam, *others):
            set_gradients(each.parameters, torch.ones(1, 46))
            each.step()
        sizes.append(float((before - joined(adam.parameters))[0, 0]) / 1e-2)
    return sizes


def keras(clock: Clock | None = None) -> SeedAdam:
    return make(1, torch.zeros(1, 46), eps=1e-7, keras_eps=True, clock=clock)


def test_parts_that_share_a_clock_count_each_others_steps() -> None:
    clock = Clock()
    parts = [keras(clock) for _ in range(3)]
    sizes = []
    for _ in range(3):
        sizes.append([moves(part, 1)[0] for part in parts])
    actor, critic, alpha = zip(*sizes, strict=True)
    assert actor == pytest.approx((1.00, 0.78, 0.79), abs=0.005)
    assert critic[:2] == pytest.approx((0.74, 0.73), abs=0.005)
    assert alpha[:2] == pytest.approx((0.64, 0.70), abs=0.005)
    assert [part.step_count for part in parts] == [9, 9, 9]
    assert moves(keras(), 3) == pytest.approx([1.0, 1.0, 1.0], abs=1e-3)


def test_a_reset_keeps_a_shared_clock_and_so_starts_with_large_steps() -> None:
    clock = Clock()
    adam, others = keras(clock), [keras(clock), keras(clock)]
    clock.count = 1_000_000
    adam.reset()
    assert clock.count == 1_000_000
    sizes = moves(adam, 1000, others)
    assert sizes[:5] == pytest.approx([3.16, 4.25, 4.95, 5.44, 5.80], abs=0.006)
    assert (max(sizes), sizes.index(max(sizes))) == (pytest.approx(6.57, abs=0.006), 11)
    later = [sizes[n - 1] for n in (10, 50, 100, 1000)]
    assert later == pytest.approx([6.53, 4.5, 3.2, 1.26], abs=0.05)
    fresh = keras()
    fresh.reset()
    assert sum(sizes) / sum(moves(fresh, 1000)) == pytest.approx(2.0, abs=0.05)


def test_without_moments_a_parameter_without_gradient_stays() -> None:
    adam = make(2)
    before = joined(adam.parameters)
    set_gradients(adam.parameters, torch.zeros(2, 46))
    adam.step()
    assert torch.equal(joined(adam.parameters), before)


def test_state_round_trip_continues_bit_for_bit() -> None:
    used = trained(2, steps=20)
    other = make(2, joined(used.parameters))
    other.load({name: t.clone() for name, t in used.tensors().items()}, used.numbers())
    for adam in (used, other):
        set_gradients(adam.parameters, draws(2, 99))
        adam.step()
    assert torch.equal(joined(used.parameters), joined(other.parameters))


@pytest.mark.parametrize("max_norm", [0.5, 6.7, 100.0])
def test_the_clip_is_torchs_on_each_seed_alone(max_norm: float) -> None:
    adam, gradients = make(3), draws(3, 1) * torch.tensor([[0.01], [1.0], [10.0]])
    set_gradients(adam.parameters, gradients)
    norms = adam.clip(max_norm)
    for seed in range(3):
        alone = nn.Parameter(torch.zeros(46))
        alone.grad = gradients[seed].clone()
        norm = nn.utils.clip_grad_norm_([alone], max_norm)
        clipped = joined(adam.parameters, adam.grad)[seed]
        assert float(norms[seed]) == pytest.approx(float(norm), rel=1e-6)
        torch.testing.assert_close(clipped, alone.grad, rtol=1e-5, atol=0)


def test_the_clip_of_a_seed_does_not_depend_on_the_others() -> None:
    clipped = []
    for n_seeds in (1, 2, 3):
        adam = make(n_seeds)
        set_gradients(adam.parameters, draws(n_seeds, 1))
        adam.clip(0.1)
        clipped.append(joined(adam.parameters, adam.grad)[0])
    assert torch.equal(clipped[0], clipped[1]) and torch.equal(clipped[0], clipped[2])


def test_a_nan_gradient_in_one_seed_leaves_the_others() -> None:
    results = []
    for poison in (False, True):
        adam = make(3)
        for step in range(1, 6):
            gradients = draws(3, step)
            if poison:
                gradients[1, 4] = float("nan")
            set_gradients(adam.parameters, gradients)
            adam.clip(0.1)
            adam.step()
        results.append(joined(adam.parameters))
    assert torch.equal(results[0][[0, 2]], results[1][[0, 2]])
    assert bool(torch.isnan(results[1][1]).all())
