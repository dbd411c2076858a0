"""Where a run computes, and what it says: what a continued run may have otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clrl.agents.settings.fields import number
from clrl.errors import ConfigError, checked


@dataclass(frozen=True)
class PlacementConfig:
    """Where a run computes; a run may be continued with other values."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    threads: int = number(1, least=1)
    """CPU threads; on a CPU several runs of one thread each get more done."""
    matmul: Literal["auto", "default", "onednn"] = "auto"
    """CPU matrix product; auto picks the faster full-precision one when the run starts."""

    def __post_init__(self) -> None:
        checked(self, "placement")
        kind, _, index = self.device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
            raise ConfigError(f"device is {self.device!r}; it must be auto, cpu, cuda or cuda:N")


@dataclass(frozen=True)
class LoggingConfig:
    """What a run says; a run may be continued with other values."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Mirror of the record in Weights & Biases."""
    log_every: int = number(1_000, least=1)
    """Steps between the lines of train.jsonl."""

    def __post_init__(self) -> None:
        checked(self, "logging")
