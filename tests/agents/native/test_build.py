"""Compiling: flags, compilers that do not work, and a cache that nobody else writes to."""

from __future__ import annotations

import inspect
import os
import platform
import runpy
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from clrl.agents.native import build
from tests.agents.compilers import FAILING, compiler, counting, needs_compiler

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners and modes of files")
ROOT = Path(__file__).parents[3]


def test_no_flag_lets_a_compiler_change_a_result_or_choose_a_processor() -> None:
    for kind in build.INSTRUCTIONS:
        flags = build.flags(kind)
        assert not {"-ffast-math", "-Ofast", "-march=native", "-funsafe-math-optimizations"} & {
            *flags
        }
        # Flags of the user's come before these, and the last one counts.
        assert {"-fno-fast-math", "-ffp-contract=off", "-march=x86-64", "-O3"} <= {*flags}
        assert flags.index("-fno-fast-math") < flags.index("-fno-math-errno")


def test_a_key_tells_sources_and_flags_apart(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [build.key("avx2"), build.key("avx512")]
    (build.SOURCE / "update.c").write_text("int other;")
    keys.append(build.key("avx2"))
    (build.SOURCE / "a.h").write_text("")
    keys.append(build.key("avx2"))
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O2"))
    keys.append(build.key("avx2"))
    assert len({*keys}) == 5 and build.key("avx2") == keys[-1]
    assert build.flags("avx2")[-1] == f'-DKEY="{keys[-1]}"'


@needs_compiler
@pytest.mark.parametrize("named", ["", "  ", "cc -pthread", "env A=1 cc", None])
def test_a_compiler_may_be_named_with_arguments(
    named: str | None, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named is not None:
        monkeypatch.setenv("CC", named)
    with build.compiled("avx2") as made:
        assert build.key("avx2").encode() in made.read_bytes()
        folder = made.parent
        assert not hasattr(os, "getuid") or folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


@posix
@pytest.mark.parametrize("what", FAILING)
def test_a_compiler_that_fails_is_named_with_what_it_says(
    what: str, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, said = FAILING[what]
    monkeypatch.setenv("CC", compiler(tmp_path, lines))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    match = (
        rf"compiler .*/a compiler.sh fails \(.*{said}\): install gcc or clang, or name one in CC"
    )
    with pytest.raises(build.CannotCompile, match=match), build.compiled("avx2"):
        pass
    assert not list(tmp_path.glob("clrl-*")) and not empty_cache.exists()


@posix
def test_a_compiler_that_hangs_is_ended(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MOST_SECONDS", 0.2)
    monkeypatch.setenv("CC", compiler(tmp_path, "exec sleep 60"))
    with pytest.raises(build.CannotCompile, match="no end after 0.2 s"), build.compiled("avx2"):
        pass


@posix
def test_a_compiler_that_reads_gets_nothing(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler(tmp_path, "cat; echo error: the end >&2; exit 1"))
    with pytest.raises(build.CannotCompile, match="error: the end"), build.compiled("avx2"):
        pass


@pytest.mark.parametrize("named", ["no-such-compiler", 'cc "'])
def test_a_compiler_that_is_named_and_missing_is_not_replaced(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", named)
    match = f"compiler {named}, which CC names, is not there: install gcc or clang"
    with pytest.raises(build.CannotCompile, match=match), build.compiled("avx2"):
        pass


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build.sysconfig, "get_config_var", lambda name: "no-such-gcc -pthread")
    match = "^there is no C compiler: install gcc or clang, or name one in CC$"
    with pytest.raises(build.CannotCompile, match=match), build.compiled("avx2"):
        pass


@needs_compiler
def test_without_room_for_a_folder_nothing_is_compiled(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    match = "no room to compile the update"
    with pytest.raises(build.CannotCompile, match=match), build.compiled("avx2"):
        pass


# The cache


def made(folder: Path, text: str = "a library") -> Path:
    path = folder / "made.so"
    path.write_text(text)
    return path


def test_what_is_kept_is_found_until_it_is_damaged(tmp_path: Path, empty_cache: Path) -> None:
    assert build.cached("avx2") == []
    path = build.keep(made(tmp_path), "avx2")
    other = build.keep(made(tmp_path, "of another compiler"), "avx2")
    assert build.cached("avx2") == sorted([path, other]) and build.cached("avx512") == []
    assert sorted(empty_cache.iterdir()) == sorted([path, other])
    whole = path.read_bytes()
    for damage in (whole[:4], b"", whole + b" "):
        path.write_bytes(damage)
        assert build.cached("avx2") == [other]
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    assert build.cached("avx2") == [other]
    assert build.keep(made(tmp_path), "avx2") == path
    assert build.cached("avx2") == sorted([path, other])


def test_a_library_of_other_sources_is_not_found(tmp_path: Path, empty_cache: Path) -> None:
    build.keep(made(tmp_path), "avx2")
    (build.SOURCE / "update.c").write_text("int other;")
    assert build.cached("avx2") == []


@posix
def test_the_cache_is_made_for_its_user_alone(tmp_path: Path, empty_cache: Path) -> None:
    before = os.umask(0)
    try:
        path = build.keep(made(tmp_path), "avx2")
    finally:
        os.umask(before)
    assert (empty_cache.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o720])
def test_what_others_may_write_to_is_not_used(mode: int, tmp_path: Path, empty_cache: Path) -> None:
    path = build.keep(made(tmp_path), "avx2")
    path.chmod(mode)
    assert build.cached("avx2") == []
    path.chmod(0o600)
    assert build.cached("avx2") == [path]
    empty_cache.chmod(mode)
    assert build.cached("avx2") == []
    with pytest.raises(OSError, match=f"other users may write to {empty_cache}"):
        build.keep(made(tmp_path), "avx2")


@posix
def test_what_belongs_to_another_user_is_not_used(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build.keep(made(tmp_path), "avx2")
    owner = os.getuid()
    for uid, ours in ((owner + 1, owner == 0), (owner, True)):  # root may write anywhere anyway
        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        assert build.cached("avx2") == [path] * ours
    monkeypatch.setattr(build, "is_ours", lambda path: path != empty_cache)
    with pytest.raises(OSError, match="other users may write"):
        build.keep(made(tmp_path), "avx2")


def test_a_cache_lies_in_no_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for named in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", named)
        assert build.cache() == tmp_path / ".cache" / "clrl"
    monkeypatch.setattr(Path, "home", lambda: Path("relative"))
    with pytest.raises(OSError, match="is not absolute"):
        build.cache()


def test_a_user_without_a_home_has_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert build.cached("avx2") == []
    with pytest.raises(OSError, match="there is no home directory"):
        build.keep(made(tmp_path), "avx2")


@needs_compiler
def test_of_two_that_compile_at_once_both_get_a_whole_library(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, calls = counting(tmp_path)
    monkeypatch.setenv("CC", command)
    together, found = threading.Barrier(4), []

    def compile_and_keep() -> None:
        with build.compiled("avx2") as made:
            together.wait()
            path = build.keep(made, "avx2")
            found.append(path in build.cached("avx2"))

    threads = [threading.Thread(target=compile_and_keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4 and len(calls.read_text().splitlines()) == 4
    assert {path.suffix for path in empty_cache.iterdir()} == {".so"}


# At install time


@pytest.mark.parametrize(
    "machine, kinds", [("x86_64", 2), ("AMD64", 2), ("aarch64", 0), ("arm64", 0), ("ppc64le", 0)]
)
def test_an_installation_compiles_where_it_can_and_goes_on_where_not(
    machine: str, kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    setuptools = pytest.importorskip("setuptools")
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: given.update(keywords))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    assert len(given["ext_modules"]) == kinds
    for extension, kind in zip(given["ext_modules"], build.INSTRUCTIONS, strict=False):
        assert extension.optional and extension.name == f"clrl.agents.native._update_{kind}"
        assert extension.extra_compile_args == build.flags(kind)
        assert extension.extra_link_args == ["-fno-fast-math"]
        names = ["build.py", *(f"source/{path.name}" for path in build.sources())]
        assert extension.depends == [f"agents/native/{name}" for name in names]


def test_an_installed_library_is_found_and_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setuptools = pytest.importorskip("setuptools")
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: given.update(keywords))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    command = given["cmdclass"]["build_ext"](setuptools.Distribution())
    for kind in build.INSTRUCTIONS:
        for package in ("", "clrl.agents.native."):  # setuptools asks for both
            path = Path(command.get_ext_filename(f"{package}_update_{kind}"))
            assert path == Path(package.replace(".", "/")) / f"update.{kind}.so"
        assert "." in str(inspect.getmodulename(path.name))  # what pkgutil passes over
        (tmp_path / path.name).touch()
        assert [path.name] == [found.name for found in tmp_path.glob(f"update.{kind}.*")]
    assert command.get_export_symbols(None) == []
