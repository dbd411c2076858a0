"""What tests look at in a run directory."""

import hashlib
import json
from pathlib import Path
from typing import Any


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a record."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(directory: Path) -> dict[Path, str]:
    """The SHA-256 of every file but the owner's name."""
    return {
        file: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.rglob("*")
        if file.is_file() and file.name != ".owner"
    }
