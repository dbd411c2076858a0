"""A run directory: whose it is, which run it holds, and `run.json`."""

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

from clrl.config.run import RunConfig
from clrl.config.schema import CONFIG_FILE, MAY_CHANGE_ON_RESUME, stored_config
from clrl.errors import ConfigError
from clrl.machine.processor import gpu_model, processor_model
from clrl.results.reading import RUN_FILE, read_info
from clrl.run.checkpoint import write_file

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
        DamagedData: the file is there and cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / RUN_FILE
        self.values = read_info(self.path)

    def update(self, **values: Any) -> None:
        """Set values and write the file."""
        self.values |= values
        write_file(self.path, (json.dumps(self.values, indent=1) + "\n").encode())


def machine(device: str) -> dict[str, Any]:
    """Return what a bit-exact continuation needs, and the names of processor and GPU."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    capability = torch.backends.cpu.get_cpu_capability()
    return {"versions": versions, "cpu_capability": capability, "device": device,
            "processor": processor_model(), "gpu": gpu_model(device)}  # fmt: skip


def history(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return where a run comes from: its start stays, and continuations are listed."""
    if not before:
        return now
    return {"continued": [*before.get("continued", []), now]}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what changed between two records of what decides the last bits, one phrase each."""
    old, new = (
        {
            **r.get("versions", {}),
            "CPU": r.get("cpu_capability"),
            "device": r.get("device"),
            "matmul": r.get("matmul", now.get("matmul")),
            "update": update_of(r),
            "batches drawn together": r.get("drawn_together", 1),
        }
        for r in (before, now)
    )
    return [f"{k} {old.get(k)} -> {new.get(k)}" for k in sorted(new) if old.get(k) != new.get(k)]


def update_of(values: dict[str, Any]) -> str:
    """Return the path of a run's updates; one that does not say it is from before any other."""
    return str(values.get("update", "torch"))


def begun(directory: Path) -> str | None:
    """Return the path of the updates that a run goes on from; None if it would start.

    Raises:
        DamagedData: `run.json` cannot be read.
    """
    saved = any((directory / "checkpoints").glob("step-*"))
    return update_of(RunFile(directory).values) if saved else None


def differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return in what two `identity()`s differ, as "key: value before -> value now".

    Of another method or learner only the name: all of its settings are others.
    """
    old, new = _flat(before), _flat(now)
    keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    others = {"learner", "method"} & {key.removesuffix(".name") for key in keys}
    shown = [key for key in keys if key.endswith(".name") or key.partition(".")[0] not in others]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in shown]


def check_directory(config: RunConfig, directory: str | Path) -> None:
    """Check that a run may start or go on in a directory.

    Raises:
        ConfigError: it is a file, or holds another configuration or something that is no run.
        DamagedData: its `config.yaml` cannot be read.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--out {directory} is a file; give a directory")
    if (directory / CONFIG_FILE).exists():
        stored = _stored_identity(directory / CONFIG_FILE)
        if config.sequence.probed and "identity" not in stored.get("sequence", {}):
            raise ConfigError(
                f"--out {directory} was written by a version that did not record what its worlds "
                "are, so nobody can say whether they are these; another --out starts the run anew"
            )
        if different := differing(stored, config.identity()):
            raise ConfigError(
                f"--out {directory} holds another configuration ({'; '.join(different)}); "
                "give another --out, or the values that it has"
            )
    elif directory.exists() and any(not p.name.startswith(".") for p in directory.iterdir()):
        raise ConfigError(f"--out {directory} is not empty and holds no run; give another --out")


def write_config(config: RunConfig, directory: Path) -> None:
    """Write a run's `config.yaml`, unless it is there."""
    if not (directory / CONFIG_FILE).exists():
        write_file(directory / CONFIG_FILE, config.to_yaml().encode())


def _stored_identity(path: Path) -> dict[str, Any]:
    stored = stored_config(path)
    return {key: stored[key] for key in stored if key not in MAY_CHANGE_ON_RESUME}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            value = {str(place): item for place, item in enumerate(value)}
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
