"""Where networks are: a device must be there before anything is built on it."""

from __future__ import annotations

import torch


def check_device(device: torch.device | str) -> None:
    """Check that a device is there, where Stable-Baselines3 would take the CPU without a word.

    Raises:
        ValueError: it is not, or is another one than auto, cpu, cuda or cuda:N.
    """
    kind, _, index = str(device).partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"device is {str(device)!r}; it must be auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(index or 0) >= count:
        raise ValueError(
            f"device is {device}, but torch {torch.__version__} sees {count or 'no'} "
            f"GPU{'s' * (count > 1)}; give device cpu or auto{', or cuda' * (count > 0)}"
        )
