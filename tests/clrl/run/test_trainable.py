"""SAC, PPO and the classifier offer the loop the same, and are trained, stopped and continued."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch

from clrl.agents.classifier import Classifier
from clrl.agents.methods import METHODS
from clrl.agents.methods.packnet import PackNet
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from clrl.config.evaluation import Evaluation
from clrl.envs.schedule import Schedule
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream
from clrl.envs.vector import SeedVecEnv
from clrl.results.reading import read_run
from clrl.results.tables import table
from clrl.run.checkpoint import Checkpoints
from clrl.run.protocol import Silent, train
from clrl.run.trainable import AgentOnWorlds, ClassifierOnStream, Trainable
from tests.clrl.rundirs import lines

SEEDS, LENGTHS = (4, 2), (24, 12)


def worlds() -> TaskSequence:
    make = partial(gym.make, "Pendulum-v1", max_episode_steps=6)
    return TaskSequence([partial(make, g=g) for g in (10.0, 2.0)], LENGTHS)


def learner(kind: str, method: Any = None) -> Any:
    small: dict[str, Any] = {"hidden_sizes": (8, 8), "batch_size": 4}
    if kind == "classifier":
        return Classifier(ToyStream(2, 3, 16), method, seeds=SEEDS, **small)
    env = SeedVecEnv([worlds] * 2, SEEDS)
    if kind == "ppo":
        return ContinualPPO(env, method, seeds=SEEDS, device="cpu", n_steps=6, n_epochs=1, **small)
    starts: dict[str, Any] = {
        "exploration_steps": 4,
        "learning_starts": 4,
        "train_freq": 2,
        "gradient_steps": 1,
    }
    return ContinualSAC(env, method, seeds=SEEDS, device="cpu", **starts, **small)


def trainable(kind: str) -> Trainable:
    made = learner(kind)
    if kind == "classifier":
        return ClassifierOnStream(made, Schedule("ab", LENGTHS))
    return AgentOnWorlds(made)


KINDS = pytest.mark.parametrize("kind", ["sac", "ppo", "classifier"])


@KINDS
def test_a_state_is_all_that_a_fresh_one_needs_to_go_on(kind: str) -> None:
    whole, first = trainable(kind), trainable(kind)
    for one in (whole, first):
        one.start_task(0)
        one.learn(9, lambda infos: True)
    second = trainable(kind)
    second.load_state_dict(first.state_dict())
    assert second.num_timesteps == 9
    for one in (whole, second):
        one.learn(9, lambda infos: True)
    mine, other = whole.state_dict(), second.state_dict()
    assert mine["json"] == other["json"]
    assert all(torch.equal(t, other["tensors"][n]) for n, t in mine["tensors"].items())
    third = trainable(kind)
    third.load_policy_state(whole.policy_state())
    how = Evaluation(1, 1, 1)
    assert third.evaluate([0, 1], 18, how) == whole.evaluate([0, 1], 18, how)


@KINDS
def test_learning_ends_after_the_step_at_which_the_watch_says_so(kind: str) -> None:
    one, seen = trainable(kind), []

    def watch(infos: Any) -> bool:
        seen.append(len(infos))
        return len(seen) < 5

    one.start_task(0)
    one.learn(9, watch)
    assert one.num_timesteps == 5 == len(seen)
    assert set(seen) == {0 if kind == "classifier" else 2}


class Stopping(Silent):
    """Ends the run, as a signal would, with the evaluation of a step."""

    def metrics(self, rows: Any) -> None:
        if rows[0]["step"] == 24:
            raise KeyboardInterrupt


@KINDS
@pytest.mark.parametrize("method", ["finetuning", "packnet"])
def test_a_run_that_is_stopped_goes_on_with_the_same_bytes(
    kind: str, method: str, tmp_path: Path
) -> None:
    how = Evaluation(3, 1, 1)
    lengths = LENGTHS if kind == "classifier" else None

    def run(name: str, **more: Any) -> None:
        made = PackNet(retrain_steps=5) if method == "packnet" else METHODS[method]()
        train(learner(kind, made), tmp_path / name, how, 5, steps_per_task=lengths, **more)

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", mirror=Stopping())
    run("cut")
    for name in ("metrics.jsonl", "train.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    whole, cut = (Checkpoints(tmp_path / n / "checkpoints").newest() for n in ("whole", "cut"))
    assert whole is not None and cut is not None
    assert whole.state["learner"] == cut.state["learner"]
    assert all(torch.equal(t, cut.tensors[n]) for n, t in whole.tensors.items())
    run_data = read_run(tmp_path / "whole")
    assert run_data.steps.tolist() == [8, 16, 24, 28, 32, 36]
    row = table([tmp_path / "whole"]).sections[0].rows[0]
    assert row.performance.value == row.performance.value  # defined


def test_a_classifier_s_lines_have_an_accuracy_and_null_for_what_it_has_not(tmp_path: Path) -> None:
    train(learner("classifier"), tmp_path, Evaluation(2), 5, steps_per_task=8)
    row = lines(tmp_path / "metrics.jsonl")[0]
    assert {key: row[key] for key in ("mode", "episodes", "success", "success_last", "return")} == {
        "mode": "deterministic", "episodes": 16, "success": None, "success_last": None,
        "return": None,
    }  # fmt: skip
    assert 0 <= row["accuracy"] <= 1
    with pytest.raises(ValueError, match="steps_per_task is None"):
        train(learner("classifier"), tmp_path / "other")
    with pytest.raises(ValueError, match="steps_per_task is for a classifier"):
        train(learner("sac"), tmp_path / "other", steps_per_task=5)
