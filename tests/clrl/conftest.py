"""Fixtures of the tests of the command line."""

from pathlib import Path

import pytest


@pytest.fixture
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command runs in an empty directory, so that a test sees what was written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
