"""`clrl table`: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clrl import errors
from clrl.cli import main
from clrl.results.rows import Estimate
from clrl.results.tables import table
from tests.clrl.results.test_metrics import SUCCESS
from tests.clrl.results.test_published import cells
from tests.clrl.synthetic import write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")


def test_the_command_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(write_run(tmp_path / "run", SUCCESS, TASKS))
    assert main(["table", run, "--published"]) == errors.OK
    assert cells(capsys.readouterr().out)["finetuning"][2] == Estimate(0.05, (0.05, 0.06)).text()
    assert main(["table", run, "--published", "--json"]) == errors.OK
    content = json.loads(capsys.readouterr().out)
    assert content["published"][0]["performance"] == {"value": 0.05, "interval": [0.05, 0.06]}


def test_a_window_is_taken_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(write_run(tmp_path / "run", SUCCESS, TASKS))
    assert main(["table", run, "--window", "5"]) == errors.OK
    out = capsys.readouterr().out
    assert "| finetuning | 2 | 0.63 [" in out and "window of 5 evaluations (6 per task)" in out
    assert main(["table", run]) == errors.OK
    assert "| finetuning | 2 | 0.65 [" in capsys.readouterr().out
    for word in ("0", "-5", "19", "2.5", "all"):
        assert main(["table", run, "--window", word]) == errors.CONFIG
        assert "window" in capsys.readouterr().err


def test_strict_is_code_1_where_something_is_missing_and_the_table_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(write_run(tmp_path / "run", SUCCESS, TASKS))
    said = []
    for words, code in (([], errors.OK), (["--strict"], errors.INCOMPLETE)):
        assert main(["table", run, *words]) == code
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == table([run]).markdown()
    for task in TASKS:
        write_run(tmp_path / task, SUCCESS[:, :6, :1], [task])
    assert main(["table", run, "--references", str(tmp_path), "--strict"]) == errors.OK
