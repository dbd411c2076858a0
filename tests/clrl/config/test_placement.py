"""Where a run computes, and what it says."""

from typing import Any

import pytest

from clrl.config.placement import LoggingConfig, PlacementConfig
from clrl.errors import ConfigError


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_a_device_has_torch_s_name(device: str) -> None:
    assert PlacementConfig(device).device == device


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (PlacementConfig, {"device": "gpu"}, "device is 'gpu'; it must be auto, cpu, cuda or cuda"),
        (PlacementConfig, {"device": "cuda:x"}, "device is 'cuda:x'"),
        (PlacementConfig, {"threads": 0}, "placement.threads is 0; it must be at least 1"),
        (PlacementConfig, {"matmul": "mkl"}, "placement.matmul is 'mkl'; it must be auto"),
        (LoggingConfig, {"log_every": 0}, "logging.log_every is 0; it must be at least 1"),
        (LoggingConfig, {"wandb": "on"}, "logging.wandb is 'on'; it must be off or offline or onl"),
    ],
)
def test_what_is_not_allowed_is_named(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**values)
