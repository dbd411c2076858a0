"""`clrl list`: what there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.cli import main
from clrl.envs.metaworld.tasks import METAWORLD_TASKS, SEQUENCES
from tests.clrl.synthetic import write_run


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is printed."""
    assert main(["list", *words]) == errors.OK
    return capsys.readouterr().out


def test_tasks_are_all_of_meta_world_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "tasks").splitlines() == list(METAWORLD_TASKS)


def test_sequences_are_those_with_names(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys, "sequences").splitlines()
    assert [line.split()[0] for line in lines] == [*SEQUENCES, "toy"]
    assert lines[1].split("tasks: ")[1].split(", ") == list(SEQUENCES["CW20"])


def test_lists_show_every_method_with_its_flags_and_where_it_does_not_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = listed(capsys, "methods").splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == list(METHODS)
    assert max(map(len, lines)) <= 100
    text = " ".join(" ".join(lines).split())
    for kind in METHODS.values():
        assert kind.paper.rpartition(", ")[2] in text
        assert all(f"not on {learner}: {why}" in text for learner, why in kind.refusals().items())
    assert "--retrain-steps 100000 with sac: --sac.max-grad-norm 2e-05" in text


def test_runs_are_listed_with_their_state_and_a_damaged_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    success = np.full((2, 3, 1), np.nan)
    success[:, 0] = 0.5
    run = write_run(tmp_path / "run", success, ["push-v3"], state="interrupted")
    damaged = write_run(tmp_path / "damaged", success, ["push-v3"])
    (damaged / "metrics.jsonl").write_text("[]\n[]\n")
    assert main(["list", "runs", str(tmp_path)]) == errors.OK
    out, err = capsys.readouterr()
    assert out == (f"{run}  finetuning on made-up, seeds 0..1: interrupted, step 1,000 of 3,000\n")
    assert err.startswith(f"clrl: {damaged / 'metrics.jsonl'}: line 1") and err.count("\n") == 1
