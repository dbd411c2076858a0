"""The order of events of a run, what it records, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from clrl.agents.learner import NonFinite
from clrl.agents.sac import ContinualSAC
from clrl.config.evaluation import Evaluation
from clrl.errors import ConfigError, DamagedData
from clrl.run import loop, protocol, trainable
from clrl.run.checkpoint import Checkpoints
from clrl.run.directory import Busy, RunFile, owned
from clrl.run.protocol import train
from tests.clrl.rundirs import files, lines

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


def test_a_line_between_two_episode_ends_has_no_means(tmp_path: Path) -> None:
    train(tiny.make_agent(), tmp_path, Evaluation(1, 1, 0), log_every=5)
    first = next(row for row in lines(tmp_path / "train.jsonl") if "event" not in row)
    assert (first["step"], first["episodes"], first["return_mean"]) == (5, 0, None)


def test_a_complete_run_is_left_as_it_is(tmp_path: Path) -> None:
    first = train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    before = files(tmp_path)
    again = train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    assert files(tmp_path) == before
    assert np.array_equal(first.success, again.success)


def test_another_configuration_is_refused_naming_what_differs(tmp_path: Path) -> None:
    train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    before = files(tmp_path)
    other = dataclasses.replace(tiny.EVALUATION, stochastic_episodes=7)
    with pytest.raises(ConfigError, match="evaluation.stochastic_episodes: 2 -> 7"):
        train(tiny.make_agent(), tmp_path, other)
    with pytest.raises(ConfigError, match=r"seeds: \[0\] -> \[0, 1\]"):
        train(tiny.make_agent(n_seeds=2), tmp_path, tiny.EVALUATION)
    assert files(tmp_path) == before


def test_a_directory_with_parts_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION)


def test_agents_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has trained 5 steps"):
        train(tiny.make_agent().learn(5), tmp_path)
    with pytest.raises(ValueError, match="needed is SeedVecEnv"):
        train(ContinualSAC(tiny.make_sequence(), hidden_sizes=(4,)), tmp_path)
    with pytest.raises(ValueError, match="evals_per_task is 50"):
        train(tiny.make_agent(), tmp_path)
    assert not list(tmp_path.iterdir())


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


def test_two_owners_of_a_directory_are_one_too_many(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(Busy, match=f"process {os.getpid()} on"), owned(tmp_path):
        pass
    with owned(tmp_path):
        pass


def test_a_continuation_with_other_versions_goes_on_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(60))
    run_file = RunFile(tmp_path)
    run_file.update(versions={**run_file.values["versions"], "torch": "2.0.0"})
    with pytest.warns(UserWarning, match="not bit for bit: torch 2.0.0 -> "):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    assert RunFile(tmp_path).values["resumed_inexact"] is True


class Stopping(protocol.Silent):
    """Ends the run, as a signal would, with the evaluation of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, rows: Any) -> None:
        if rows[0]["step"] == self.step:
            raise KeyboardInterrupt


def test_evaluations_without_a_checkpoint_are_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION, mirror=Stopping(60))
    for path in sorted((tmp_path / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(DamagedData, match="there is no checkpoint"):
        train(tiny.make_agent(), tmp_path, tiny.EVALUATION)
    assert len(lines(tmp_path / "metrics.jsonl")) == 2 * 2 * 2


def test_ten_lines_train_on_a_users_own_environments_and_make_a_table(tmp_path: Path) -> None:
    from clrl.agents.methods import METHODS
    from clrl.envs.sequence import TaskSequence
    from clrl.envs.vector import SeedVecEnv
    from clrl.results.tables import table

    goals = [-1.0, 1.0]
    makers = [partial(tiny.Drift, goal) for goal in goals]
    env = SeedVecEnv([lambda: TaskSequence(makers, 60, ["left", "right"])] * 2, seeds=[0, 1])
    agent = ContinualSAC(env, METHODS["finetuning"](), seeds=[0, 1], hidden_sizes=(8, 8),
                         exploration_steps=10, learning_starts=10)  # fmt: skip
    train(agent, tmp_path / "mine", Evaluation(evals_per_task=6, stochastic_episodes=2))
    config = yaml.safe_load((tmp_path / "mine" / "config.yaml").read_text())
    assert config["sequence"]["tasks"] == ["left", "right"]
    assert (config["learner"]["name"], config["method"]["name"]) == ("sac", "finetuning")
    assert "finetuning" in table([tmp_path / "mine"]).markdown()
