"""A device that is not there is refused, where Stable-Baselines3 takes the CPU without a word."""

from typing import Any

import gymnasium as gym
import pytest
import torch

from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from clrl.agents.settings.device import check_device


@pytest.mark.parametrize("kind", [ContinualSAC, ContinualPPO])
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", torch.device("cuda")])
def test_a_gpu_that_is_not_there_is_refused(
    kind: Any, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=rf"device is {device}, but torch .* sees no GPU; give"):
        kind(gym.make("Pendulum-v1"), device=device)
    assert kind(gym.make("Pendulum-v1"), device="auto").device.type == "cpu"


def test_a_gpu_beyond_those_that_are_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for there in ("cuda", "cuda:1", "auto", "cpu"):
        check_device(there)
    with pytest.raises(ValueError, match="device is cuda:2, but torch .* sees 2 GPUs; give"):
        check_device("cuda:2")
    for wrong in ("gpu", "tpu", "cuda:x", "mps"):
        with pytest.raises(ValueError, match=f"device is '{wrong}'; it must be auto, cpu, cuda or"):
            check_device(wrong)
