"""The matrix product that is chosen, and the memory that is kept."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clrl.machine import processor
from clrl.machine.processor import (
    best_matmul,
    chosen_matmul,
    gpu_model,
    processor_model,
    reuse_memory,
    use_matmul,
    vendor,
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Other tests compute with the product that was chosen before."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


RULE = [
    ("cpu", "AuthenticAMD", 128, 256, torch.float32, "onednn"),
    ("cpu", "AuthenticAMD", 512, 300, torch.float32, "onednn"),
    ("cpu", "AuthenticAMD", 128, 128, torch.float32, "default"),
    ("cpu", "AuthenticAMD", 64, 256, torch.float32, "default"),
    ("cpu", "AuthenticAMD", 128, 64, torch.float32, "default"),
    ("cpu", "AuthenticAMD", 128, 256, torch.bfloat16, "default"),
    ("cpu", "GenuineIntel", 128, 256, torch.float32, "default"),
    ("cpu", "", 128, 256, torch.float32, "default"),
    ("cuda", "AuthenticAMD", 128, 256, torch.float32, "default"),
    ("cuda:1", "AuthenticAMD", 512, 512, torch.float32, "default"),
]


@pytest.mark.parametrize(("device", "maker", "batch", "width", "kind", "best"), RULE)
def test_the_product_follows_from_processor_device_and_sizes(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    maker: str,
    batch: int,
    width: int,
    kind: torch.dtype,
    best: str,
) -> None:
    def draw(*size: int, generator: torch.Generator) -> torch.Tensor:
        odd = 1.0 if kind == torch.float32 else 1 / 3  # 1 is exact with any product
        return torch.full(size, odd, dtype=kind)

    monkeypatch.setattr(processor.torch, "randn", draw)
    monkeypatch.setattr(processor, "vendor", lambda: maker)
    for chosen in ("default", "onednn"):
        use_matmul(chosen)
        assert [best_matmul(device, batch, width) for _ in range(3)] == [best] * 3
        assert chosen_matmul() == chosen  # as it was


def test_a_product_of_another_precision_is_called_what_torch_calls_it() -> None:
    torch.set_float32_matmul_precision("high")
    assert chosen_matmul() == "high"


def test_vendor_and_model_are_those_that_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC: 9\n")
    monkeypatch.setattr(processor, "Path", lambda path: info)
    assert (vendor(), processor_model()) == ("AuthenticAMD", "AMD EPYC: 9")
    info.unlink()  # another system
    monkeypatch.setattr(processor.platform, "processor", lambda: "AMD64 Family 25, AuthenticAMD")
    assert (vendor(), processor_model()) == ("AuthenticAMD", "AMD64 Family 25, AuthenticAMD")
    monkeypatch.setattr(processor.platform, "processor", lambda: "")
    assert vendor() == "" and processor_model() == processor.platform.machine()


def test_a_gpu_has_a_name_and_a_cpu_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"H100 at {device}")
    assert gpu_model("cpu") is None and gpu_model("cuda:1") == "H100 at cuda:1"


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
