"""How this process uses its processor: matrix products, memory, threads."""

from __future__ import annotations

import ctypes
import statistics
import sys
import time

import torch

_PRECISION = {"default": "highest", "onednn": "medium"}


def use_matmul(name: str) -> None:
    """Choose torch's float32 matrix product for this process: "default" or "onednn".

    On AMD processors MKL, torch's default, takes its slow path; oneDNN is about twice as fast.
    """
    torch.set_float32_matmul_precision(_PRECISION[name])


def best_matmul(batch: int = 128, width: int = 256) -> str:
    """Return the faster product that still computes in float32; leaves the choice as it was.

    oneDNN may compute in bfloat16 on processors with AMX: it is taken only if a product is exact to
    1e-5, and faster in the median of 20, for twin layers of this batch and width and their
    gradients. (Its overhead per call makes it slower on small networks.)
    """
    before = torch.get_float32_matmul_precision()
    rng = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(2, n, width, generator=rng) for n in (batch, width))
    exact = x.double() @ weight.double()

    def layer() -> None:
        y = torch.bmm(x, weight)
        torch.bmm(y, weight.transpose(1, 2))
        torch.bmm(x.transpose(1, 2), y)

    times: dict[str, list[float]] = {name: [] for name in _PRECISION}
    try:
        use_matmul("onednn")
        error = ((x @ weight).double() - exact).norm() / exact.norm()
        for _ in range(21):
            for name, taken in times.items():
                use_matmul(name)
                start = time.perf_counter()
                layer()
                taken.append(time.perf_counter() - start)
    finally:
        torch.set_float32_matmul_precision(before)
    faster = statistics.median(times["onednn"][1:]) < statistics.median(times["default"][1:])
    return "onednn" if faster and float(error) < 1e-5 else "default"


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
