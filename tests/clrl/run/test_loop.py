"""The order of events of a run, what of it is recorded, and from where it goes on."""

from __future__ import annotations

import json
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from clrl import errors
from clrl.agents.learner import NonFinite
from clrl.agents.sac import ContinualSAC
from clrl.cli import main
from clrl.config.evaluation import Evaluation
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv
from clrl.errors import DamagedData
from clrl.run import loop, trainable
from clrl.run.checkpoint import Checkpoints, write_directory
from clrl.run.directory import RunFile
from clrl.run.protocol import train
from tests.clrl.rundirs import lines
from tests.clrl.scripted import Stopping

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tiny_run.py")))


TOTAL = 2 * tiny.STEPS_PER_TASK


def test_events_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    agent = tiny.make_agent()

    def note(owner: Any, name: str, text: Any) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            events.append(text(*args))
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    note(agent, "start_task", lambda task: f"start {task}")
    note(agent, "learn", lambda steps: f"learn {steps}")
    note(agent, "end_task", lambda: f"end {agent.task}")
    note(loop.Loop, "save_policy", lambda self, task, step: f"policy {task}")
    note(Checkpoints, "save", lambda self, step, tensors, state: f"checkpoint {step}")
    note(trainable, "evaluate", lambda agent, sims, due, step, *how: f"evaluate {step} {due}")
    train(agent, tmp_path, Evaluation(2, 1, 0, tasks="all"))
    assert events == [
        "start 0", "learn 45", "checkpoint 45", "evaluate 45 [0, 1]",
        "learn 45", "checkpoint 90", "end 0", "policy 0", "evaluate 90 [0, 1]",
        "start 1", "learn 45", "checkpoint 135", "evaluate 135 [0, 1]",
        "learn 45", "checkpoint 180", "end 1", "policy 1", "evaluate 180 [0, 1]",
    ]  # fmt: skip


def test_evaluating_often_seldom_or_never_leaves_training_bit_for_bit_the_same(
    tmp_path: Path,
) -> None:
    agent = tiny.make_agent(n_seeds=2)
    agent.learn(TOTAL)
    never = agent.state_dict()["tensors"]
    for evals_per_task, episodes in ((1, 1), (9, 3)):
        directory = tmp_path / str(evals_per_task)
        train(tiny.make_agent(n_seeds=2), directory, Evaluation(evals_per_task, episodes))
        newest = Checkpoints(directory / "checkpoints").newest()
        assert newest is not None and newest.state["step"] == TOTAL
        assert newest.tensors.keys() == never.keys()
        assert all(torch.equal(newest.tensors[name], t) for name, t in never.items())


def test_a_seeds_record_is_the_same_alone_and_beside_another(tmp_path: Path) -> None:
    for seeds in ((0,), (0, 1)):
        agent = tiny.make_agent(n_seeds=len(seeds))
        train(agent, tmp_path / str(len(seeds)), tiny.EVALUATION, log_every=25)
    for name in ("metrics.jsonl", "train.jsonl"):
        alone, beside = (
            [{**row, "seq": 0} for row in lines(tmp_path / n / name) if row.get("seed", 0) == 0]
            for n in ("1", "2")
        )
        assert alone == beside and len(alone) > 5


def test_a_runs_lines_say_what_happened(tmp_path: Path) -> None:
    data = train(tiny.make_agent(n_seeds=2), tmp_path, tiny.EVALUATION, log_every=24)
    rows = lines(tmp_path / "train.jsonl")
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    events = [row for row in rows if "event" in row]
    assert [(e["step"], e["task"], e["value"]) for e in events] == [
        (0, 0, "task-0"),
        (90, 1, "task-1"),
    ]
    steps = [row for row in rows if "event" not in row]
    assert [(r["step"], r["seed"]) for r in steps] == [
        (step, seed) for step in range(24, TOTAL + 1, 24) for seed in (0, 1)
    ]
    assert [r["task"] for r in steps[::2]] == [0, 0, 0, 1, 1, 1, 1]
    assert steps[0]["episodes"] == 2 and steps[0]["length_mean"] == 12
    assert steps[0]["return_mean"] != steps[1]["return_mean"]
    assert set(steps[-1]) > {"actor/loss", "critic/loss", "success_mean"}
    assert data.steps.tolist() == [30, 60, 90, 120, 150, 180]
    assert data.state == "complete" and np.isfinite(data.success).all()
    run_file = json.loads((tmp_path / "run.json").read_text())
    assert run_file["versions"]["torch"] == torch.__version__
    assert set(run_file["wall_seconds"]) == {"0", "1"} == set(run_file["cpu_seconds"])
    assert not run_file["resumed_inexact"] and run_file["sim_warnings"] == 0


def poisoned(agent: Any, update: int, how: str) -> None:
    """Lets seed 1 of the agent break down at an update."""
    losses = agent.losses
    count = iter(range(10**6))

    def bad(batch: Any) -> Any:
        result = losses(batch)
        if next(count) == update:
            nan = torch.tensor([[1.0], [float("nan")]])
            if how == "loss":
                result["critic"] = result["critic"] * nan[:, 0]
            else:
                agent.method.state["importance"] = nan
        return result

    agent.losses = bad


@pytest.mark.parametrize(
    ("how", "update", "message"),
    [
        ("loss", 48, r"loss of seed 1 is nan in task 1 \(step 131\)"),
        ("state", 40, r"method.importance of seed 1 is not finite in task 1 \(step 150\)"),
    ],
)
def test_a_number_that_is_not_finite_stops_the_run_before_it_is_saved(
    tmp_path: Path, how: str, update: int, message: str
) -> None:
    agent = tiny.make_agent(n_seeds=2)
    poisoned(agent, update, how)
    with pytest.raises(NonFinite, match=message):
        train(agent, tmp_path, tiny.EVALUATION)
    run_file = json.loads((tmp_path / "run.json").read_text())
    assert run_file["state"] == "failed" and run_file["fault"]["error"] == "NonFinite"
    newest = Checkpoints(tmp_path / "checkpoints").newest()
    assert newest is not None and newest.state["step"] == 120
    assert all(bool(torch.isfinite(t.float()).all()) for t in newest.tensors.values())
    train(tiny.make_agent(n_seeds=2), tmp_path, tiny.EVALUATION)  # the cause is gone
    run_file = json.loads((tmp_path / "run.json").read_text())
    assert run_file["state"] == "complete" and "fault" not in run_file


def test_evaluations_without_a_checkpoint_are_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(60))
    for path in sorted((tmp_path / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(DamagedData, match="there is no checkpoint"):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    assert len(lines(tmp_path / "metrics.jsonl")) == 2 * 2 * 2


def test_a_run_of_another_version_is_read_and_not_continued(tmp_path: Path, capsys: Any) -> None:
    words = (
        f"train finetuning --sequence toy --steps-per-task 4 --evals-per-task 1 --out {tmp_path}"
    )
    assert main([*words.split(), "--seeds", "0"]) == errors.OK
    for state in tmp_path.glob("checkpoints/*/state.json"):
        values = json.loads(state.read_text())
        del values["format"]
        tensors = (state.parent / "tensors.pt").read_bytes()
        files = [("tensors.pt", tensors), ("state.json", json.dumps(values).encode())]
        write_directory(state.parent, files)
    RunFile(tmp_path).update(state="interrupted")
    assert main([*words.split(), "--seeds", "0"]) == errors.CONFIG
    assert "was written by another version and cannot be continued" in capsys.readouterr().err
    assert RunFile(tmp_path).values["state"] == "interrupted"
    assert main(["table", str(tmp_path)]) == errors.OK


def test_policies_lie_in_folders_whatever_their_tasks_are_called(tmp_path: Path) -> None:
    names = ["push-v3", "Swing-v1?g=2", "../up"]
    worlds = TaskSequence([partial(tiny.Drift, 0.0)] * 3, 12, names)
    agent = ContinualSAC(SeedVecEnv([lambda: worlds], [0]), hidden_sizes=(4,),
                         exploration_steps=5, learning_starts=5,
                         train_freq=5)  # fmt: skip
    train(agent, tmp_path, Evaluation(1, 1, 0))
    folders = [path.name for path in sorted((tmp_path / "tasks").iterdir())]
    assert folders == ["00-push-v3", "01-Swing-v1_g_2", "02-.._up"]
    states = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("tasks/*/state.json"))]
    assert [(s["task"], s["task_name"], s["step"]) for s in states] == [
        (task, name, 12 * task + 12) for task, name in enumerate(names)
    ]
