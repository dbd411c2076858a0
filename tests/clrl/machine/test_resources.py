from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.methods.ewc import EWC
from clrl.agents.ppo.rollout import Rollout
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.randomness import REPLAY
from clrl.agents.sac.replay import ReplayBuffer
from clrl.agents.sac.settings import SACSettings
from clrl.agents.spaces import TaskSpaces
from clrl.cli import main
from clrl.config.families import MetaWorldSequence
from clrl.config.presets import base_config
from clrl.config.run import RunConfig
from clrl.envs.metaworld.tasks import CW10
from clrl.errors import ConfigError
from clrl.machine import resources
from clrl.machine.resources import check_resources, need, stored_rows
from clrl.run.builder import AGENTS, build
from tests.agents import tiny

CW20 = CW10 * 2
OBSERVATION, ACTION = MetaWorldSequence(CW10).sizes()
GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with some GiB of memory and of disk."""

    def set_to(memory: float, disk: float = 1000.0) -> None:
        free = SimpleNamespace(available=int(memory * GIB))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
        used = SimpleNamespace(free=int(disk * GIB))
        monkeypatch.setattr(resources.shutil, "disk_usage", lambda path: used)

    set_to(64.0)
    return set_to


def with_learner(config: RunConfig, **settings: Any) -> RunConfig:
    """The configuration with other settings of its learner."""
    changed: Any = config
    changed = replace(changed, learner=replace(changed.learner, **settings))
    assert isinstance(changed, RunConfig)
    return changed


def agent_of(config: RunConfig) -> Any:
    """The agent of a configuration, without its environments."""
    n_tasks = len(config.sequence.tasks)
    spaces = TaskSpaces(
        gym.spaces.Box(-1.0, 1.0, (OBSERVATION + n_tasks,), np.float32),
        gym.spaces.Box(-1.0, 1.0, (ACTION,), np.float32),
        n_tasks,
    )
    kind = AGENTS[config.learner_name]
    return kind(None, config.method, config.learner, seeds=config.seeds, spaces=spaces)


def test_perfect_memory_of_cw20_takes_at_most_7_gb_per_seed() -> None:
    config = base_config("CW20", "perfect-memory")
    assert stored_rows(config) == 20_000_000
    assert 6.6e9 < need(config).of_seeds < 7e9
    five = need(replace(config, seeds=(0, 1, 2, 3, 4)))
    assert five.of_seeds == 5 * need(config).of_seeds


@pytest.mark.parametrize("store", [ReplayBuffer, Rollout])
def test_a_row_takes_the_bytes_that_are_counted(store: Any) -> None:
    arrays = store(3, 10, OBSERVATION, ACTION).arrays.values()
    rows, settings = (20, PPOSettings()) if store is Rollout else (10, SACSettings())
    row = settings.row_bytes(OBSERVATION, ACTION)
    assert sum(array.nbytes for array in arrays) == 3 * rows * row


@pytest.mark.parametrize("learner", AGENTS)
@pytest.mark.parametrize("method", ["finetuning", "multitask"])
def test_a_short_run_stores_no_more_rows_than_it_has_steps(learner: str, method: str) -> None:
    if learner in METHODS[method].refusals():
        return
    short = base_config("CW10", method, "small", learner)
    steps = short.sequence.schedule.lengths[0]
    if learner == "ppo":
        assert stored_rows(with_learner(short, n_steps=75)) == 150
        return
    huge = with_learner(short, buffer_size=20_000_000)
    assert stored_rows(huge) == (steps if method == "finetuning" else 10 * steps)
    assert stored_rows(with_learner(huge, reset_buffer=False)) == 10 * steps
    assert stored_rows(with_learner(short, buffer_size=10)) == 10


def test_the_agent_s_buffer_has_no_row_that_stays_empty() -> None:
    config = with_learner(base_config("push-v3", "ewc", "small"), buffer_size=20_000_000)
    agent: Any = build(config).learner
    assert agent.buffer.capacity == config.sequence.schedule.total


@pytest.mark.parametrize("learner", AGENTS)
def test_the_numbers_of_the_networks_are_those_of_the_agent(learner: str) -> None:
    config = base_config("push-v3,reach-v3", "finetuning", "small", learner)
    agent = agent_of(config)
    policy, everything = config.learner.network_numbers(OBSERVATION, ACTION, 2)
    assert sum(p.numel() for p in agent.network().parameters()) == policy
    trained = sum(agent.flats[part].flat.numel() for part in agent.optimizers)
    others = sum(f.flat.numel() for part, f in agent.flats.items() if part not in agent.optimizers)
    assert 4 * trained + others == pytest.approx(everything, rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_keeps_is_counted(method: str) -> None:
    small = base_config("push-v3,reach-v3", method, "small")
    config = replace(small, method=tiny.method(method), seeds=(0, 1))
    agent = agent_of(config)
    for task in range(agent.n_tasks):
        agent.start_task(task)
        tiny.fill(agent, 60, task)
        agent.update(agent.sample(16, REPLAY))
        agent.end_task()
    kept = sum(tensor.nbytes for tensor in agent.method.state.values())
    assert kept <= need(config).memories // 2 + 100


@pytest.mark.parametrize("anchors", ["last", "per_task"])
def test_an_anchor_of_every_task_is_counted(anchors: Any) -> None:
    assert EWC(anchors=anchors).copies_of_weights(5) == (10 if anchors == "per_task" else 2)


def test_too_little_memory_is_refused_with_numbers_and_what_to_change(
    tmp_path: Path, machine: Any
) -> None:
    config = replace(base_config("CW20", "perfect-memory"), seeds=(0, 1))
    check_resources(config, tmp_path / "new")
    machine(10.0)
    with pytest.raises(ConfigError) as refusal:
        check_resources(config, tmp_path / "new")
    for words in ("2 seeds of 6.3 GiB", "10.0 GiB are available", "fewer --seeds", "--sac.buffer"):
        assert words in str(refusal.value)
    machine(64.0, disk=20.0)
    with pytest.raises(ConfigError, match="two checkpoints take up to 25.2 GiB, and 20.0 GiB are"):
        check_resources(config, tmp_path / "new")
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    check_resources(config, tmp_path / "begun")
    machine(10.0)
    with pytest.raises(ConfigError, match="too little memory"):  # continued on a smaller machine
        check_resources(config, tmp_path / "begun")


def test_the_command_refuses_before_anything_is_written(
    tmp_path: Path, machine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(0.25)
    words = ["train", "ewc", "--sequence", "push-v3", "--preset", "small"]
    assert main([*words, "--out", str(tmp_path / "run")]) == errors.CONFIG
    assert capsys.readouterr().err.startswith(
        "clrl: too little memory: the run takes up to 863 MiB"
    )
    assert [path.name for path in tmp_path.rglob("[!.]*")] == ["run"]
    assert main([*words, "--dry-run", "--out", str(tmp_path / "run")]) == errors.OK
    assert "256 MiB available here: too little" in capsys.readouterr().out
