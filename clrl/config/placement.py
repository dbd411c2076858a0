"""Where a run computes, and what it says: what a continued run may have otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clrl.agents.settings.device import check_device, check_device_name
from clrl.agents.settings.fields import number
from clrl.errors import checked, said_as_config_error


@dataclass(frozen=True)
class PlacementConfig:
    """Where a run computes; a run may be continued with other values."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    threads: int = number(1, least=1)
    """CPU threads; on a CPU several runs of one thread each get more done."""
    matmul: Literal["auto", "default", "onednn"] = "auto"
    """CPU matrix product; auto: oneDNN's on AMD processors for batches from 128 and layers from 256
    on, if it computes in full precision there, and else torch's own."""
    update: Literal["auto", "native", "torch"] = "auto"
    """What takes the gradients: native is code compiled for CPUs, torch has autograd; auto: native
    where it is right and can be had, or what CLRL_UPDATE says."""

    def __post_init__(self) -> None:
        checked(self, "placement")
        with said_as_config_error():
            check_device_name(self.device)

    def check_device(self) -> None:
        """Raise ConfigError if the device is not there.

        Not when it is named: the configuration of a run on a GPU can be read anywhere.
        """
        with said_as_config_error():
            check_device(self.device)


@dataclass(frozen=True)
class LoggingConfig:
    """What a run says; a run may be continued with other values."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Mirror of the record in Weights & Biases."""
    log_every: int = number(1_000, least=1)
    """Steps between the lines of train.jsonl."""

    def __post_init__(self) -> None:
        checked(self, "logging")
