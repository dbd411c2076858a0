"""Checkpoints are whole or not there, and reading one never runs code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from clrl.errors import DamagedData
from clrl.run import checkpoint
from clrl.run.checkpoint import (
    MANIFEST,
    STATE,
    TENSORS,
    Checkpoints,
    remove_leftovers,
    write_directory,
)

TENSORS_OF_A_RUN = {
    "weights.actor": torch.arange(6.0).reshape(2, 3),
    "buffer.done": torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8),
    "optimizer.count": torch.tensor(7),
}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def tampered(path: Path, how: str) -> None:
    """Damages a file in place."""
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    elif how == "truncate":
        content = content[:-1]
    elif how == "empty":
        content = bytearray()
    path.unlink()
    if how != "remove":
        path.write_bytes(content)


def test_what_was_saved_is_read_back(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is None
    state = {"step": 20, "streams": [2**127 + 1], "mean": 0.1}
    assert checkpoints.save(20, TENSORS_OF_A_RUN, state)
    newest = checkpoints.newest()
    assert newest is not None and newest.path.name == "step-000000020"
    assert {**newest.state, "large": None} == {**state, "large": None}
    assert newest.tensors.keys() == TENSORS_OF_A_RUN.keys()
    for name, tensor in TENSORS_OF_A_RUN.items():
        assert newest.tensors[name].dtype == tensor.dtype
        assert torch.equal(newest.tensors[name], tensor)


def test_equal_states_give_equal_files(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        Checkpoints(tmp_path / name).save(1, dict(TENSORS_OF_A_RUN), {"x": 1})
        files.append([f.read_bytes() for f in sorted((tmp_path / name).rglob("*.*"))
                      if f.is_file()])  # fmt: skip
    assert files[0] == files[1] and len(files[0]) == 3


def test_a_view_is_saved_without_the_tensor_it_looks_into(tmp_path: Path) -> None:
    whole = torch.zeros(1_000_000)
    Checkpoints(tmp_path).save(1, {"view": whole[:10]}, {})
    assert (tmp_path / "step-000000001" / TENSORS).stat().st_size < 10_000


def test_the_two_newest_are_kept(checkpoints: Checkpoints) -> None:
    for step in (5, 10, 100, 1000):
        checkpoints.save(step, TENSORS_OF_A_RUN, {})
    assert [path.name for path in checkpoints.paths()] == ["step-000000100", "step-000001000"]


def test_saving_a_step_again_replaces_it(checkpoints: Checkpoints) -> None:
    checkpoints.save(5, TENSORS_OF_A_RUN, {"x": 1})
    checkpoints.save(5, TENSORS_OF_A_RUN, {"x": 2})
    newest = checkpoints.newest()
    assert newest is not None and newest.state["x"] == 2
    assert [path.name for path in checkpoints.directory.iterdir()] == ["step-000000005"]


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "remove"])
@pytest.mark.parametrize("name", [MANIFEST, STATE, TENSORS])
def test_a_damaged_checkpoint_is_stepped_over_with_one_warning_that_names_the_file(
    checkpoints: Checkpoints, name: str, how: str
) -> None:
    checkpoints.save(10, TENSORS_OF_A_RUN, {"step": 10})
    checkpoints.save(20, TENSORS_OF_A_RUN, {"step": 20})
    tampered(checkpoints.directory / "step-000000020" / name, how)
    with pytest.warns(UserWarning) as warned:
        newest = checkpoints.newest()
    assert newest is not None and newest.state["step"] == 10
    assert len(warned) == 1
    assert "step-000000020" in str(warned[0].message)
    # A flipped bit of the manifest shows in the file that it describes.
    assert how == "flip" and name == MANIFEST or name in str(warned[0].message)


def test_two_damaged_checkpoints_are_an_error_and_stay_as_they_are(
    checkpoints: Checkpoints,
) -> None:
    for step in (10, 20):
        checkpoints.save(step, TENSORS_OF_A_RUN, {})
        tampered(checkpoints.directory / f"step-{step:09d}" / TENSORS, "flip")
    before = {f: f.read_bytes() for f in checkpoints.directory.rglob("*") if f.is_file()}
    with pytest.raises(DamagedData, match="step-000000020.*tensors.pt.*step-000000010"):
        checkpoints.newest()
    assert before == {f: f.read_bytes() for f in checkpoints.directory.rglob("*") if f.is_file()}


def test_a_damaged_later_checkpoint_goes_when_an_earlier_step_is_saved(
    checkpoints: Checkpoints,
) -> None:
    for step in (10, 20):
        checkpoints.save(step, TENSORS_OF_A_RUN, {})
    tampered(checkpoints.directory / "step-000000020" / TENSORS, "flip")
    checkpoints.save(15, TENSORS_OF_A_RUN, {})
    assert [path.name for path in checkpoints.paths()] == ["step-000000010", "step-000000015"]


def test_large_tensors_are_written_in_blocks_that_are_shared_while_they_do_not_change(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 1000)
    monkeypatch.setattr(checkpoint, "BLOCK", 400)
    buffer = torch.arange(2 * 150 * 2.0).reshape(2, 150, 2)  # 1200 bytes a column: 3 blocks
    longer = torch.cat([buffer, -buffer[:, :10]], dim=1)
    checkpoints.save(1, {**TENSORS_OF_A_RUN, "buffer.obs": buffer}, {})
    checkpoints.save(2, {**TENSORS_OF_A_RUN, "buffer.obs": longer}, {})
    newest = checkpoints.newest()
    assert newest is not None
    assert torch.equal(newest.tensors["buffer.obs"], longer)
    links = [f.stat().st_nlink for f in sorted(newest.path.glob("block-*"))]
    assert links == [2, 2, 2, 1, 2, 2, 2, 1]
    assert {f.stat().st_nlink for f in newest.path.glob("[!b]*")} == {1}
    shutil.rmtree(checkpoints.directory / "step-000000001")
    again = checkpoints.newest()
    assert again is not None and torch.equal(again.tensors["buffer.obs"], longer)


def test_blocks_of_a_view_are_those_of_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The replay buffer's fields are views into its rows; checkpoints go by the fields.
    monkeypatch.setattr(checkpoint, "LARGE", 1000)
    monkeypatch.setattr(checkpoint, "BLOCK", 400)
    rows = torch.randn(2, 150, 9, generator=torch.Generator().manual_seed(0))
    fields = {"obs": rows[..., :7], "reward": rows[..., 8]}
    written = []
    for folder in ("views", "copies"):
        Checkpoints(tmp_path / folder).save(1, fields, {})
        files = (tmp_path / folder / "step-000000001").iterdir()
        written.append({file.name: file.read_bytes() for file in files})
        fields = {name: field.contiguous() for name, field in fields.items()}
    assert written[0] == written[1] and len(written[0]) > 2 * 11
    newest = Checkpoints(tmp_path / "views").newest()
    assert newest is not None
    assert all(torch.equal(newest.tensors[name], field) for name, field in fields.items())


def test_a_full_disk_leaves_the_older_checkpoint_and_warns(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(1, TENSORS_OF_A_RUN, {})
    usage = shutil.disk_usage(checkpoints.directory)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.warns(UserWarning, match="no checkpoint at step 2: 10 bytes are free"):
        assert not checkpoints.save(2, TENSORS_OF_A_RUN, {})
    monkeypatch.undo()
    failing = iter([None, OSError(28, "No space left on device")])
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if error := next(failing, None):
            raise error
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(UserWarning, match="No space left"):
        assert not checkpoints.save(2, TENSORS_OF_A_RUN, {})
    assert [path.name for path in checkpoints.directory.iterdir()] == ["step-000000001"]
    assert checkpoints.save(2, TENSORS_OF_A_RUN, {})


def test_files_are_synced_before_the_manifest_and_the_manifest_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def renamed(a: Any, b: Any) -> None:
        calls.append("rename")
        rename(a, b)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    write_directory(tmp_path / "x" / "target", [("a", b"1"), ("b", b"2")])
    assert calls == ["a", "b", MANIFEST, f".tmp-{os.getpid()}", "rename", "x"]


def test_what_killed_processes_left_is_removed(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.save(1, TENSORS_OF_A_RUN, {})
    (checkpoints.directory / ".tmp-4242").mkdir()
    (checkpoints.directory / ".tmp-4242" / TENSORS).write_bytes(b"half")
    (checkpoints.directory / ".tmp-4242-run.json").write_bytes(b"half")
    remove_leftovers(checkpoints.directory)
    assert [path.name for path in checkpoints.directory.iterdir()] == ["step-000000001"]


def test_numbers_that_json_has_no_word_for_are_not_saved(checkpoints: Checkpoints) -> None:
    with pytest.raises(ValueError, match="JSON"):
        checkpoints.save(1, TENSORS_OF_A_RUN, {"x": float("nan")})
    assert not checkpoints.paths()


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from clrl.run.checkpoint import Checkpoints, remove_leftovers

torch.set_num_threads(1)
checkpoints, last, rng = Checkpoints(Path(sys.argv[1])), 0, random.Random(0)
for kill in range(200):
    child = os.fork()
    while child == 0:  # saves until it is killed
        last += 1
        checkpoints.save(last, {"a": torch.full((250_000,), float(last))}, {"step": last})
    time.sleep(rng.uniform(0.02, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    newest = checkpoints.newest()
    assert newest is not None or last == 0
    if newest is not None:
        assert newest.state["step"] >= last, (newest.state, last)
        last = newest.state["step"]
        assert bool((newest.tensors["a"] == last).all())
    remove_leftovers(checkpoints.directory)
print(last)
"""


@pytest.mark.slow
def test_two_hundred_kills_in_the_middle_of_saving_leave_no_checkpoint_unreadable(
    tmp_path: Path,
) -> None:
    program = [sys.executable, "-W", "error", "-c", KILLS, str(tmp_path / "checkpoints")]
    saved = int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
    assert saved > 100
