"""`clrl plot`: images, and where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from clrl import errors
from clrl.cli import main
from tests.clrl.results.test_metrics import SUCCESS
from tests.clrl.synthetic import write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")


def test_every_image_is_printed_and_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("a"), SUCCESS, TASKS)
    assert main(["plot", "a", "--out", "mine/plots"]) == errors.OK
    printed = capsys.readouterr().out.splitlines()
    kinds = ("average-performance.png", "task-success.png", "task-matrix.png")
    assert printed == [f"mine/plots/{kind}" for kind in kinds]
    assert all(Path(file).is_file() for file in printed)
