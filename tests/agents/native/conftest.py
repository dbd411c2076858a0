"""Compiling in tests takes no time and leaves nothing behind."""

from pathlib import Path

import pytest

from clrl.agents.native import build
from tests.agents.compilers import SMALL_SOURCE


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty cache and a small source to compile; returns where the cache will be."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "update.c").write_text(SMALL_SOURCE)
    monkeypatch.setattr(build, "SOURCE", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache" / "clrl"
