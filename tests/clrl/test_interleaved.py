"""Multi-task runs: what they write, and what tables and plots make of it."""

from __future__ import annotations

import json
import runpy
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.settings import SACSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.presets import base_config
from clrl.config.run import RunConfig, run_type
from clrl.errors import ConfigError
from clrl.machine.costs import expected_costs
from clrl.results.groups import join
from clrl.results.reading import read_run
from clrl.results.tables import table
from clrl.run import protocol
from clrl.run.builder import load_policy, load_trained
from clrl.show.logger import RunLogger
from clrl.show.plots import average_performance, plot, task_matrix, task_scores
from tests.clrl.rundirs import lines
from tests.clrl.synthetic import random_success, write_run

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_run.py"))))

TASKS = ("hammer-v3", "push-v3", "reach-v3")
META_WORLD = run_type(MetaWorldSequence, SACSettings)(
    MetaWorldSequence(("hammer-v3", "window-close-v3"), steps_per_task=30, horizon=10),
    SACSettings(hidden_sizes=(8, 8), batch_size=8, exploration_steps=20, learning_starts=20,
                train_freq=10, gradient_steps=1, buffer_size=100),
    METHODS["multitask"](),
    Evaluation(1, stochastic_episodes=1, deterministic_episodes=0),
    seeds=(0, 3),
)  # fmt: skip


def test_a_run_has_one_start_one_end_and_a_policy_after_every_block(tmp_path: Path) -> None:
    agent = tiny.make_agent("multitask", 2)
    ends: list[int] = []
    agent.method.on_task_end = ends.append
    protocol.train(agent, tmp_path, Evaluation(3, 2, 1, tasks="all"), log_every=25)
    rows = lines(tmp_path / "train.jsonl")
    assert [row["value"] for row in rows if "event" in row] == ["all-tasks"]
    assert {row["task"] for row in rows} == {None}
    assert ends == [0]
    names = [path.name for path in sorted((tmp_path / "tasks").iterdir())]
    assert names == ["00-all-tasks", "01-all-tasks"]
    evaluated = {(row["step"], row["task"]) for row in lines(tmp_path / "metrics.jsonl")}
    assert evaluated == {(step, task) for step in range(30, 181, 30) for task in (0, 1)}
    assert read_run(tmp_path).config["sequence"]["interleaved"] is True
    assert agent.n_updates == 5 * 16  # every 10th step from the 21st on


def test_environments_that_do_not_fit_the_method_are_refused(tmp_path: Path) -> None:
    envs = {name: tiny.make_agent(name).get_env() for name in ("multitask", "finetuning")}
    for name, other, needed in (
        ("multitask", "finetuning", "MultiTask needs InterleavedTasks"),
        ("finetuning", "multitask", "Finetuning needs a TaskSequence"),
    ):
        agent = ContinualSAC(envs[other], METHODS[name](), hidden_sizes=(8, 8))
        with pytest.raises(ValueError, match=needed):
            protocol.train(agent, tmp_path)


def test_a_run_of_meta_world_leaves_policies_that_load(tmp_path: Path) -> None:
    out, directory = StringIO(), tmp_path / "run"
    logger = RunLogger(META_WORLD, directory, out)
    assert protocol.run(META_WORLD, directory, logger) == errors.OK
    logger.close()
    assert RunConfig.load(directory / "config.yaml") == META_WORLD
    assert "all-tasks starts" in out.getvalue() and "| all tasks: success 0.00" in out.getvalue()
    last, first = load_policy(directory), load_policy(directory, task=0)
    assert not torch.equal(first.flats["actor"].flat, last.flats["actor"].flat)
    trained = load_trained(directory)
    rows = trained.evaluate([0, 1], 60, META_WORLD.evaluation)
    trained.close()
    recorded = lines(directory / "metrics.jsonl")[-len(rows) :]
    assert [{"seq": r["seq"], **row} for r, row in zip(recorded, rows, strict=True)] == recorded
    assert expected_costs(META_WORLD).updates == 4 == load_policy_updates(directory)


def load_policy_updates(directory: Path) -> int:
    """Updates of the run, counted by the newest checkpoint."""
    newest = max((directory / "checkpoints").glob("step-*"))
    state = json.loads((newest / "state.json").read_text())
    return int(state["learner"]["counters"]["n_updates"])


def test_the_order_follows_from_the_method() -> None:
    values = META_WORLD.to_dict()
    assert values["sequence"]["interleaved"] is True
    assert RunConfig.from_dict(values) == META_WORLD
    assert "interleaved" not in base_config(",".join(TASKS), "ewc").to_dict()["sequence"]
    values["method"] = {"name": "finetuning"}
    with pytest.raises(
        ConfigError,
        match="sequence.interleaved is True, but the rest",
    ):
        RunConfig.from_dict(values)


def write(root: Path, success: np.ndarray, name: str = "multitask") -> Path:
    return write_run(
        root / name, success, TASKS, method={"name": name}, sequence={"interleaved": True}
    )


def test_a_multi_task_row_has_a_performance_and_nothing_else(tmp_path: Path) -> None:
    success = random_success(2, 6, 3)
    success[:, :-1] = np.nan  # economical
    write(tmp_path, success)
    write_run(tmp_path / "finetuning", random_success(2, 6, 3, key=1), TASKS)
    for name in TASKS:
        write_run(tmp_path / f"reference-{name}", random_success(2, 6, 1), [name])

    result = table([tmp_path])

    performance = success[:, -1].mean()
    row = next(line for line in result.markdown().splitlines() if line.startswith("| multitask"))
    assert row.startswith(f"| multitask | 2 | {performance:.2f} [")
    assert row.endswith("] | – | – | – | no | yes |")
    assert "multitask: Tasks take turns" in result.markdown()
    assert result.markdown().count("###") == 1 and result.problems == []
    numbers = json.loads(result.json())["tables"][0]["rows"]
    numbers = next(row for row in numbers if row["method"] == "multitask")
    for metric in ("forgetting", "backward_transfer", "forward_transfer"):
        assert numbers[metric]["value"] is None
    assert numbers["auc"] is None and numbers["forgetting"]["per_task"] == [None] * 3
    assert numbers["performance"]["value"] == pytest.approx(performance)


def test_a_multi_task_run_needs_no_references(tmp_path: Path) -> None:
    write(tmp_path, random_success(2, 6, 3))
    result = table([tmp_path])
    assert result.problems == [] and "References" not in result.markdown()


def test_plots_of_multi_task_runs_have_no_task_changes(tmp_path: Path) -> None:
    run = write(tmp_path, random_success(2, 6, 3))
    groups = join([read_run(run)])
    (axes,) = average_performance(groups).axes
    assert len(axes.get_lines()) == 2 and not axes.texts  # the curve, and points between gaps
    panel = task_scores(groups).axes[0]
    assert len(panel.patches) == 0
    matrix = task_matrix(groups).axes[0]
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["6k", "12k", "18k"]
    assert matrix.get_ylabel() == "after steps"
    write_run(tmp_path / "finetuning", random_success(2, 6, 3), TASKS)
    (axes,) = average_performance([*groups, *join([read_run(tmp_path / "finetuning")])]).axes
    assert [text.get_text() for text in axes.texts] == ["hammer", "push", "reach"]
    assert len(plot([tmp_path], tmp_path / "plots")) == 3
