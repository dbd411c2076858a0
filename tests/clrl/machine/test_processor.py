"""The matrix product that is chosen, and the memory that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clrl.machine import processor
from clrl.machine.processor import best_matmul, reuse_memory, use_matmul


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests compute with the product that was chosen before."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


class Clock:
    """A clock on which one of the products takes twice as long."""

    def __init__(self, slow: str) -> None:
        self.slow, self.now = slow, 0

    def __call__(self) -> float:
        self.now += 2 if torch.get_float32_matmul_precision() == self.slow else 1
        return float(self.now)


@pytest.mark.parametrize(
    ("slow", "kind", "best"),
    [
        ("highest", torch.float32, "onednn"),
        ("medium", torch.float32, "default"),
        ("highest", torch.bfloat16, "default"),
    ],
)
def test_the_faster_product_is_taken_if_it_is_exact_and_the_choice_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, slow: str, kind: torch.dtype, best: str
) -> None:
    def draw(*size: int, generator: torch.Generator) -> torch.Tensor:
        odd = 1.0 if kind == torch.float32 else 1 / 3  # 1 is exact with any product
        return torch.full(size, odd, dtype=kind)

    monkeypatch.setattr(processor.torch, "randn", draw)
    monkeypatch.setattr(processor.time, "perf_counter", Clock(slow))
    for chosen in ("default", "onednn"):
        use_matmul(chosen)
        precision = torch.get_float32_matmul_precision()
        assert best_matmul(8, 8) == best
        assert torch.get_float32_matmul_precision() == precision


def test_freed_memory_is_kept_where_there_is_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[int, int] = {}
    library: Any = SimpleNamespace(mallopt=options.__setitem__)
    monkeypatch.setattr(processor.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    reuse_memory()
    assert options == {}
    monkeypatch.setattr(processor.sys, "platform", "linux")
    reuse_memory()
    assert options[-3] > 128 * 256 * 4  # bytes of an activation: no longer mapped afresh
    assert options[-1] > options[-3]
    del library.mallopt  # another C library
    reuse_memory()
