"""What `run.json` says of where a run comes from."""

import datetime
import subprocess
from pathlib import Path

import pytest

from clrl.machine.origin import commit, origin, without_out


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["/a/b/clrl", "train", "ewc", "--out", "runs/x", "--seeds", "0"],
         ["clrl", "train", "ewc", "--seeds", "0"]),
        (["clrl", "train", "ewc", "--out=runs/x"], ["clrl", "train", "ewc"]),
        (["clrl", "train", "--out", "--out", "ewc"], ["clrl", "train", "ewc"]),
        (["clrl", "train", "--out"], ["clrl", "train"]),
        (["/home/me/study.py", "out"], ["study.py", "out"]),
        ([], []),
    ],
)  # fmt: skip
def test_a_command_is_kept_without_its_directory(words: list[str], kept: list[str]) -> None:
    assert without_out(words) == kept


def test_the_origin_has_a_date_with_its_zone() -> None:
    found = origin(["clrl", "train"])
    started = datetime.datetime.fromisoformat(found["started"])
    assert started.utcoffset() == datetime.timedelta(0)
    assert found["command"] == ["clrl", "train"] and origin()["command"]


def test_a_commit_is_that_of_the_checkout_and_dirty_once_a_file_is_changed(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *who, "-C", str(tmp_path), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert commit(tmp_path) is None
    git("init")
    assert commit(tmp_path) is None  # nothing is committed
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first")
    assert commit(tmp_path) == {"hash": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "notes").write_text("of nobody's concern")
    assert commit(tmp_path) == {"hash": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == {"hash": git("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "inside").mkdir()
    assert commit(tmp_path / "inside") is None  # a package within another's checkout
