"""What a run directory says about the process in it: who owns it, `run.json`, the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import psutil
import torch

from clrl.checkpoint import write_file
from clrl.errors import DamagedData

PACKAGES = ("torch", "numpy", "mujoco", "metaworld", "gymnasium", "stable-baselines3", "clrl")


class Busy(Exception):
    """Another process owns the run directory; the message names its pid and host."""


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Make the directory and own it; the lock ends with the process, however that ends.

    Raises:
        Busy: another process owns it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Busy(f"{directory} belongs to {_owner(directory)}, which is still running") from None
    try:
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        write_file(directory / ".owner", json.dumps(owner).encode())
        yield
    finally:
        lock.release()


def _owner(directory: Path) -> str:
    for _ in range(50):  # an owner that has just come has not written its name yet
        try:
            owner = json.loads((directory / ".owner").read_bytes())
            if owner["host"] != socket.gethostname() or psutil.pid_exists(owner["pid"]):
                return f"process {owner['pid']} on {owner['host']}"
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    return "another process"


class RunFile:
    """`run.json`: a dict that is written atomically at every `update`.

    Raises:
        DamagedData: the file is there and is not JSON.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run.json"
        self.values: dict[str, Any] = {}
        if self.path.exists():
            try:
                self.values = json.loads(self.path.read_bytes())
            except ValueError as error:
                raise DamagedData(f"{self.path}: {error}") from error

    def update(self, **values: Any) -> None:
        """Set values and write the file."""
        self.values |= values
        write_file(self.path, (json.dumps(self.values, indent=1) + "\n").encode())


def machine(device: str) -> dict[str, Any]:
    """Return what a bit-exact continuation needs: versions, the CPU's capability, the device."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    capability = torch.backends.cpu.get_cpu_capability()
    return {"versions": versions, "cpu_capability": capability, "device": device}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what changed between two `machine()` records, one phrase each."""
    old, new = (
        {**r.get("versions", {}), "CPU": r.get("cpu_capability"), "device": r.get("device")}
        for r in (before, now)
    )
    return [f"{k} {old.get(k)} -> {new.get(k)}" for k in sorted(new) if old.get(k) != new.get(k)]
