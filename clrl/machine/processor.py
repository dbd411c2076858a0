"""How this process uses its processor: matrix products, memory, threads."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import torch

MATMULS = {"default": "highest", "onednn": "medium"}
"""Matrix products, and what torch calls their precision."""


def use_matmul(name: str) -> None:
    """Choose torch's float32 matrix product for this process: "default" or "onednn".

    On AMD processors MKL, torch's default, takes its slow path; oneDNN is about twice as fast.
    """
    torch.set_float32_matmul_precision(MATMULS[name])


def best_matmul(device: str, batch: int, width: int) -> str:
    """Return the product for a device and the layers of a network: a rule, the same at every call.

    oneDNN's on AMD processors, for batches from 128 rows and widths from 256 on, if it computes in
    float32 there (its flag allows it bfloat16, which processors with AMX or a bfloat16 dot product
    may take: one product is checked to 1e-5). Elsewhere torch's own: on other processors it is as
    fast, and on a GPU the flag would switch TF32 on.

    Its overhead per call makes it slower on small products. Twin layers and both gradients, one
    thread of an AMD EPYC (Zen 4), torch 2.13, microseconds default / oneDNN:

    ============  ===========  ===========  =============
    batch         width 64     width 128    width 256
    ============  ===========  ===========  =============
    16            18 / 57      51 / 83      173 / 189
    128           76 / 109     270 / 306    1,166 / 1,106
    512           287 / 322    1,106 / 1,006  4,250 / 3,767
    ============  ===========  ===========  =============

    Args:
        device: where the networks are, like "cpu" or "cuda:0".
        batch: rows of a batch.
        width: the widest layer.
    """
    small = batch < 128 or width < 256
    if not device.startswith("cpu") or vendor() != "AuthenticAMD" or small:
        return "default"
    return "onednn" if _onednn_is_exact(batch, width) else "default"


def _onednn_is_exact(batch: int, width: int) -> bool:
    """Return whether oneDNN computes in float32; leaves the choice of a product as it was."""
    before = torch.get_float32_matmul_precision()
    rng = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, width, generator=rng) for n in (batch, width))
    exact = x.double() @ weight.double()
    try:
        use_matmul("onednn")
        error = ((x @ weight).double() - exact).norm() / exact.norm()
    finally:
        torch.set_float32_matmul_precision(before)
    return float(error) < 1e-5


def chosen_matmul() -> str:
    """Return the product that this process computes with, "high" if it is neither of the two."""
    precision = torch.get_float32_matmul_precision()
    return {kind: name for name, kind in MATMULS.items()}.get(precision, precision)


def vendor() -> str:
    """Return who made the processor, "AuthenticAMD" or "GenuineIntel"; "" where nothing says it."""
    return _cpu_info("vendor_id") or ("AuthenticAMD" if "AMD" in platform.processor() else "")


def processor_model() -> str:
    """Return what the processor is called."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _cpu_info(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")


def gpu_model(device: str) -> str | None:
    """Return what a GPU is called; None if the device is none."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else None


def reuse_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system at once.

    Activations of 128 x 256 floats are exactly glibc's threshold for mapping fresh pages at every
    allocation; raising it makes an update about 15 % faster. Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD in malloc.h
        mallopt(mmap_threshold, 64 << 20)
        mallopt(trim_threshold, 256 << 20)
