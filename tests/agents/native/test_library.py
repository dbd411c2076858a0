"""Which library a process takes: the installed one, a cached one, one compiled now, or none."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest
import torch

from clrl.agents.native import build, library
from tests.agents.compilers import GARBAGE, compiler, counting, needs_compiler


@pytest.fixture
def fresh(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process with an AVX2 processor that has no library yet; returns where one is installed."""
    installed = tmp_path / "installed"
    installed.mkdir()
    monkeypatch.setattr(library, "INSTALLED", installed)
    monkeypatch.setattr(library, "_library", library._library.__wrapped__)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    return installed


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")


@pytest.mark.parametrize("kind, said", [("avx512", "AVX512"), ("avx2", "AVX2")])
def test_a_processor_is_what_torch_says(
    kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: said)
    assert library.processor() == kind


@pytest.mark.parametrize("said", ["DEFAULT", "NO AVX", "SVE256", "ZVECTOR", "VSX"])
def test_another_processor_is_torchs_and_nothing_is_compiled(
    said: str, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, calls = counting(tmp_path)
    monkeypatch.setenv("CC", command)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: said)
    match = rf"the processor \({said}\) is not x86-64 with AVX2 and FMA"
    with pytest.raises(library.Unavailable, match=match) as error:
        library.library()
    assert not isinstance(error.value, library.NotCompiled) and not calls.read_text()


@needs_compiler
def test_a_library_is_compiled_once_and_then_found(
    fresh: Path, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, calls = counting(tmp_path)
    monkeypatch.setenv("CC", command)
    for _ in range(2):
        found = library.library()
        assert (found.network_scratch(None), found.sac_scratch(None)) == (1, 2)
        assert found.sac_scratch.restype is ctypes.c_int64
        assert library.origin() == "compiled for avx2"
    assert len(calls.read_text().splitlines()) == 1
    no_compiler(monkeypatch)
    assert library.library().key().decode() == build.key("avx2")
    (kept,) = empty_cache.iterdir()
    half = kept.read_bytes()[:1000]
    kept.unlink()  # this process still has it in memory
    kept.write_bytes(half)
    with pytest.raises(library.NotCompiled, match="no-such-compiler, which CC names"):
        library.library()


@needs_compiler
def test_an_installed_library_is_taken_unless_it_is_of_other_sources(
    fresh: Path, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with build.compiled("avx2") as made:
        shutil.copy(made, fresh / "update.avx2.so")
    command, calls = counting(tmp_path)
    monkeypatch.setenv("CC", command)
    library.library()
    assert not calls.read_text() and not empty_cache.exists()
    source = build.SOURCE / "update.c"
    source.write_text(source.read_text() + "int changed;\n")
    assert library.library().key().decode() == build.key("avx2")
    assert len(calls.read_text().splitlines()) == 1 and len(list(empty_cache.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF" + bytes(60)])
def test_an_installed_file_that_is_no_library_is_passed_over(
    content: bytes, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh / "update.avx2.so").write_bytes(content)
    no_compiler(monkeypatch)
    with pytest.raises(library.NotCompiled, match="install gcc or clang"):
        library.library()


def test_a_library_that_cannot_be_loaded_is_not_kept(
    fresh: Path, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path, GARBAGE))
    match = "what the C compiler made cannot be loaded: install gcc or clang"
    with pytest.raises(library.NotCompiled, match=match):
        library.library()
    assert list(empty_cache.iterdir()) == []


@needs_compiler
def test_a_cache_that_nothing_can_be_loaded_from_is_left_empty(
    fresh: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = library._opened

    def elsewhere(path: Path, kind: str) -> ctypes.CDLL | None:
        return None if path.parent == empty_cache else opened(path, kind)

    monkeypatch.setattr(library, "_opened", elsewhere)  # as if it were mounted noexec
    assert library.library().sac_scratch(None) == 2
    assert library.origin() == (
        f"compiled for avx2 by every process anew, because no code can be loaded from {empty_cache}"
    )
    assert list(empty_cache.iterdir()) == []


@needs_compiler
def test_where_others_may_write_nothing_is_loaded_from(fresh: Path, empty_cache: Path) -> None:
    library.library()
    (kept,) = empty_cache.iterdir()
    empty_cache.chmod(0o777)
    assert library.library().sac_scratch(None) == 2
    assert "anew, because other users may write to" in library.origin()
    assert list(empty_cache.iterdir()) == [kept]


@needs_compiler
def test_a_user_without_a_home_compiles_every_time(
    fresh: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert library.library().sac_scratch(None) == 2
    assert library.origin().endswith("because there is no home directory")


def test_a_process_decides_once() -> None:
    assert library._library.cache_info().maxsize is None
