"""`clrl evaluate`: a stored policy plays, and is measured."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clrl import errors
from clrl.agents.classifier import Classifier
from clrl.cli import main
from clrl.config.evaluation import Evaluation
from clrl.envs.streams import ToyStream
from clrl.run.protocol import train
from tests.clrl.rundirs import lines

CELL = r"(\d\.\d\d)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds that learned a stream of three tasks, one after the other."""
    directory = tmp_path_factory.mktemp("runs") / "toy"
    learner = Classifier(ToyStream(3, 8, 64), seeds=(0, 4), hidden_sizes=(16,))
    train(learner, directory, Evaluation(1), steps_per_task=30)
    return directory


def scores(
    capsys: pytest.CaptureFixture[str], directory: Path, *words: str
) -> dict[str, list[float]]:
    """The numbers of each task: of seed 0, of seed 4, their mean."""
    assert main(["evaluate", str(directory), *words]) == errors.OK
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "accuracy, seeds 0 4, mean"
    found = [re.fullmatch(rf"task +(\d) (toy-\d) +{CELL}  {CELL}  {CELL}", row) for row in rows]
    return {str(row[2]): [float(x) for x in row.groups()[2:]] for row in found if row is not None}


def test_every_task_has_the_scores_of_the_record_and_their_mean(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(capsys, run)
    assert list(found) == ["toy-0", "toy-1", "toy-2"]
    for name, (*own, mean) in found.items():
        rows = [row for row in lines(run / "metrics.jsonl") if row["task_name"] == name]
        assert own == [pytest.approx(row["accuracy"], abs=0.0051) for row in rows[-2:]]
        assert mean == pytest.approx(sum(row["accuracy"] for row in rows[-2:]) / 2, abs=0.0051)


def test_the_policy_of_an_earlier_task_is_that_of_its_end(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early = scores(capsys, run, "--after", "0", "--task", "0")
    recorded = [row["accuracy"] for row in lines(run / "metrics.jsonl")[:2]]  # of its end
    assert list(early) == ["toy-0"]
    assert early["toy-0"][:2] == [pytest.approx(value, abs=0.0051) for value in recorded]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "3"], "--task 3 is not in 0..2"),
        (["--after", "-1"], "--after -1 is not in 0..2"),
        (["--episodes", "0"], "episodes is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_played_is_code_78(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main(["evaluate", str(run), *words]) == errors.CONFIG
    assert capsys.readouterr() == ("", f"clrl: {sentence}\n")


def test_a_world_without_success_is_played_for_its_return(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"success": None, "return": value} for value in (-2.0, -4.0)]
    trained = SimpleNamespace(evaluate=lambda *args, **more: rows, close=lambda: None)
    monkeypatch.setattr("clrl.run.builder.load_trained", lambda *args: trained)
    monkeypatch.setattr("clrl.config.run.RunConfig.load", lambda path: asked("success"))
    assert main(["evaluate", str(run)]) == errors.OK
    _, line = capsys.readouterr().out.splitlines()
    assert line.endswith("-2.00  -4.00  -3.00  (return; the world reports no success)")
    rows[0]["success"] = 0.0
    assert main(["evaluate", str(run)]) == errors.OK
    assert capsys.readouterr().out.splitlines()[1].endswith("0.00  –  0.00")


def asked(score: str) -> Any:
    return SimpleNamespace(
        sequence=SimpleNamespace(tasks=("a",), score=score),
        seeds=(0, 1),
        placement=SimpleNamespace(threads=1),
    )
