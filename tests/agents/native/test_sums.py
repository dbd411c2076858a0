"""Sums per seed by compiled code: right, and the same bits wherever a seed stands."""

import math

import pytest
import torch
from torch import Tensor, nn

from clrl.agents.native import library, sums
from clrl.agents.native.path import unavailable
from clrl.agents.networks.adam import FlatParameters, seed_dots, seed_norms
from tests.agents.tiny import same_bits

pytestmark = pytest.mark.skipif(
    unavailable() is not None, reason=f"no compiled update: {unavailable()}"
)
SHAPES = [(5,), (40, 33), (2, 7), (2, 211, 179), (1, 1)]


def tensors(seeds: int, seed: int = 0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(seeds, *shape, generator=rng) for shape in SHAPES]


def flat_of(parts: list[Tensor]) -> FlatParameters:
    """Return parameters whose gradients are given."""
    flat = FlatParameters({str(n): nn.Parameter(p.clone()) for n, p in enumerate(parts)}, (3,))
    for (_, view), part in zip(flat.gradient_slots, parts, strict=True):
        view.copy_(part)
    return flat


def test_dots_and_norms_are_those_of_float64() -> None:
    a, b = tensors(3), tensors(3, 1)
    dots = sum((x.double() * y.double()).flatten(1).sum(1) for x, y in zip(a, b, strict=True))
    squares = sum(x.double().square().flatten(1).sum(1) for x in a)
    assert isinstance(dots, Tensor) and isinstance(squares, Tensor)
    torch.testing.assert_close(seed_dots(a, b, compiled=True), dots.float(), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(seed_norms(a, compiled=True), squares.sqrt().float())


def test_a_seeds_dot_has_the_same_bits_alone_in_any_layout_and_with_other_registers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = tensors(3), tensors(3, 1)
    beside = sums.seed_dots(a, b)
    for processor in {library.processor(), "avx2"}:
        monkeypatch.setattr(library, "processor", lambda kind=processor: kind)
        alone = sums.seed_dots([x[1:2] for x in a], [y[1:2].clone() for y in b])
        assert same_bits(alone[0], beside[1])
    turned = [y.mT.contiguous().mT if y.dim() > 2 else y for y in b]
    assert same_bits(sums.seed_dots(a, turned), beside)


@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_a_clip_scales_each_seed_of_all_networks_together_and_only_where_it_must(
    eps: float,
) -> None:
    parts = tensors(3)
    for part in parts:
        part[1] *= 1e-3
    one, two = flat_of(parts[:3]), flat_of(parts[3:])
    before = [view.clone() for flat in (one, two) for _, view in flat.gradient_slots]
    bound = 1.0
    norms = sums.clip([one, two], bound, eps)
    torch.testing.assert_close(norms, seed_norms(parts))
    after = [view for flat in (one, two) for _, view in flat.gradient_slots]
    assert norms[1] < bound < norms[0]
    assert all(same_bits(x[1], y[1]) for x, y in zip(before, after, strict=True))
    clipped = seed_norms(after)
    assert math.isclose(float(clipped[0]), bound, rel_tol=1e-5)
    assert math.isclose(float(clipped[2]), bound, rel_tol=1e-5)


def test_a_nan_in_one_seed_leaves_the_others_as_they_were() -> None:
    well, ill = flat_of(tensors(3)), flat_of(tensors(3))
    ill.gradient_slots[1][1][1, 3, 2] = math.nan
    for flat in (well, ill):
        sums.clip([flat], 1.0)
    for (_, x), (_, y) in zip(well.gradient_slots, ill.gradient_slots, strict=True):
        assert same_bits(x[0], y[0]) and same_bits(x[2], y[2])
        assert bool(y[1].isnan().all())
