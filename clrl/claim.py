"""Whether a configuration may start or go on in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from clrl.checkpoint import write_file
from clrl.config import RunConfig
from clrl.errors import ConfigError, DamagedData
from clrl.schema import CONFIG_FILE, MAY_CHANGE_ON_RESUME, upgraded


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
        if different := differing(_stored_identity(directory / CONFIG_FILE), config.identity()):
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
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise DamagedData(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise DamagedData(f"{path} is not the configuration of a run")
    stored = upgraded(values)
    return {key: stored[key] for key in stored if key not in MAY_CHANGE_ON_RESUME}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
