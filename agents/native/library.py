"""The compiled update of this processor, found or made once per process, and its structures."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch

from clrl.agents.native import build

INSTALLED = Path(__file__).parent
"""Where an installation puts what it compiled."""
MAX_LAYERS = 8
Pointer = ctypes.c_void_p
_KINDS = {"AVX512": "avx512", "AVX2": "avx2"}
"""What torch calls what a processor can do, and we."""


class CNetwork(ctypes.Structure):
    """`Network` of source/network.h."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("layers", "inputs", "outputs", "heads")),
        *((name, ctypes.c_int32) for name in ("normed", "activation")),
        *((name, ctypes.c_float) for name in ("slope", "epsilon")),
        ("units", ctypes.c_int32 * MAX_LAYERS),
        *((name, ctypes.c_int64 * MAX_LAYERS) for name in ("weight", "bias")),
        *((name, ctypes.c_int64) for name in ("gain", "shift", "head_weight", "head_bias")),
        *((name, Pointer) for name in ("values", "gradients")),
    ]


class CRows(ctypes.Structure):
    """`Rows` of source/batch.h."""

    _fields_ = [("at", Pointer), ("seed", ctypes.c_int64), ("row", ctypes.c_int64)]


class CNetworkCall(ctypes.Structure):
    """`NetworkCall` of source/batch.h."""

    _fields_ = [
        ("net", CNetwork),
        ("rows", ctypes.c_int32),
        ("task", ctypes.c_int32),
        ("task_ids", Pointer),
        ("inputs", CRows),
        ("outputs", Pointer),
        ("d_outputs", Pointer),
    ]


class CImportance(ctypes.Structure):
    """`Importance` of source/importance.h."""

    _fields_ = [
        ("call", CNetworkCall),
        *((name, ctypes.c_int32) for name in ("scalars", "absolute", "divisor")),
        ("floor", ctypes.c_float),
    ]


class CPart(ctypes.Structure):
    """`Part` of source/sums.h."""

    _fields_ = [("slots", ctypes.c_int64), ("slot", Pointer), ("values", Pointer)]


class CSac(ctypes.Structure):
    """`Sac` of source/sac.h."""

    _fields_ = [
        *((name, CNetwork) for name in ("actor", "critic", "target")),
        *((name, ctypes.c_int32) for name in ("features", "actions", "tasks")),
        *((name, ctypes.c_float) for name in ("gamma", "target_entropy")),
        *((name, ctypes.c_float) for name in ("log_std_min", "log_std_max")),
        *((name, Pointer) for name in ("log_alpha", "d_log_alpha", "popart_mean", "popart_scale")),
        *((name, ctypes.c_int32) for name in ("rows", "task")),
        ("task_ids", Pointer),
        *((name, CRows) for name in ("obs", "action", "reward", "next_obs", "done")),
        *((name, CRows) for name in ("noise", "next_noise")),
        *((name, Pointer) for name in ("given", "losses")),
        ("hidden", (Pointer * MAX_LAYERS) * 2),
    ]


class CPpo(ctypes.Structure):
    """`Ppo` of source/ppo.h."""

    _fields_ = [
        *((name, CNetwork) for name in ("policy", "value")),
        *((name, Pointer) for name in ("log_std", "d_log_std")),
        *((name, ctypes.c_float) for name in ("least_ratio", "most_ratio", "clip_value")),
        *((name, ctypes.c_float) for name in ("entropy_weight", "value_weight")),
        *((name, ctypes.c_int32) for name in ("normalise", "rows", "task")),
        ("task_ids", Pointer),
        *((name, CRows) for name in ("obs", "action", "log_prob")),
        *((name, CRows) for name in ("old_value", "advantage", "returns")),
        ("losses", Pointer),
        ("hidden", (Pointer * MAX_LAYERS) * 2),
    ]


class CPpoActs(ctypes.Structure):
    """`PpoActs` of source/ppo.h."""

    _fields_ = [
        ("noise", CRows),
        *((name, Pointer) for name in ("actions", "log_prob", "value")),
    ]


class Unavailable(Exception):
    """There is no compiled update for this process; the message says why."""


class NotCompiled(Unavailable):
    """There could be one, if there were a C compiler that works; the message says how."""


def processor() -> str:
    """Return what this processor can do: "avx512" or "avx2".

    Raises:
        Unavailable: neither.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in _KINDS:
        raise Unavailable(f"the processor ({capability}) is not x86-64 with AVX2 and FMA")
    return _KINDS[capability]


def library() -> ctypes.CDLL:
    """Return the compiled update: of the installation, of the cache, or compiled now.

    Raises:
        Unavailable: there is none, and none can be made.
    """
    found, how = _library(processor())
    if found is None:
        raise NotCompiled(how)
    return found


def origin() -> str:
    """Return what `library` is compiled for, and where it comes from if it could not be kept."""
    return _library(processor())[1]


@functools.cache
def _library(kind: str) -> tuple[ctypes.CDLL | None, str]:
    """Return the library and its `origin`, or None and why there is none."""
    installed = INSTALLED.glob(f"update.{kind}.*")
    for path in (*installed, *build.cached(kind)):
        if (found := _opened(path, kind)) is not None:
            return found, f"compiled for {kind}"
    try:
        with build.compiled(kind) as made:
            return _kept(made, kind)
    except build.CannotCompile as error:
        return None, str(error)


def _kept(made: Path, kind: str) -> tuple[ctypes.CDLL | None, str]:
    """Return the library just made, from the cache or, if it cannot be there, from where it is."""
    try:
        kept = build.keep(made, kind)
        if (found := _opened(kept, kind)) is not None:
            return found, f"compiled for {kind}"
        kept.unlink(missing_ok=True)
        why = f"no code can be loaded from {kept.parent}"
    except OSError as error:
        why = str(error)
    if (found := _opened(made, kind)) is not None:
        return found, f"compiled for {kind} by every process anew, because {why}"
    return None, "what the C compiler made cannot be loaded: install gcc or clang, or name it in CC"


def _opened(path: Path, kind: str) -> ctypes.CDLL | None:
    """Return a library, None if it cannot be loaded or comes from other sources."""
    try:
        found = ctypes.CDLL(str(path))
        found.key.restype = ctypes.c_char_p
        if found.key().decode() != build.key(kind):
            return None
    except (OSError, AttributeError, UnicodeDecodeError):
        return None
    for name in ("network", "importance", "sac", "ppo"):
        getattr(found, f"{name}_scratch").restype = ctypes.c_int64
    return found
