"""Where networks are: a device must be there before anything is built on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def check_device_name(name: str) -> tuple[str, int]:
    """Return kind and number of a named device, whether it is there or not.

    Raises:
        ValueError: it is another one than auto, cpu, cuda or cuda:N.
    """
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"device is {name!r}; it must be auto, cpu, cuda or cuda:N")
    return kind, int(index or 0)


def check_device(device: torch.device | str) -> None:
    """Check that a device is there, where Stable-Baselines3 would take the CPU without a word.

    Raises:
        ValueError: it is not, or is another one than auto, cpu, cuda or cuda:N.
    """
    import torch  # here: the name of a device is checked without it

    kind, index = check_device_name(str(device))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and index >= count:
        raise ValueError(
            f"device is {device}, but torch {torch.__version__} sees {count or 'no'} "
            f"GPU{'s' * (count > 1)}; give device cpu or auto{', or cuda' * (count > 0)}"
        )
