"""Runs made in Python are opened, evaluated and continued like those of the command line."""

from __future__ import annotations

import dataclasses
import runpy
import textwrap
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from clrl import errors
from clrl.agents.classifier import Classifier
from clrl.agents.methods.base import Method
from clrl.agents.methods.ewc import EWC
from clrl.agents.randomness import environment_seed
from clrl.agents.sac import ContinualSAC
from clrl.cli import main
from clrl.config.evaluation import Evaluation
from clrl.config.placement import PlacementConfig
from clrl.config.presets import base_config
from clrl.config.run import RunConfig
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream
from clrl.envs.vector import SeedVecEnv
from clrl.errors import ConfigError
from clrl.run.builder import check_update, load_policy, load_trained, update_path
from clrl.run.directory import RunFile
from clrl.run.protocol import train
from tests.agents.compilers import lacking, needs_native
from tests.clrl.rundirs import lines
from tests.clrl.scripted import Rewarded

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tiny_run.py")))
SHORT: dict[str, Any] = {
    "hidden_sizes": (8, 8),
    "batch_size": 8,
    "exploration_steps": 10,
    "learning_starts": 10,
    "train_freq": 5,
}
EVALUATION = Evaluation(2, stochastic_episodes=1, deterministic_episodes=1)


def swings(seed: int = 0) -> TaskSequence:
    make = partial(gym.make, "Pendulum-v1", max_episode_steps=10)
    makers = [partial(make, g=10.0 + seed), partial(make, g=2.0)]
    return TaskSequence(makers, [40, 20], ["a", "b"], worlds="per_seed")


def agent_in(makers: Any, method: Method | None = None, seeds: Any = (0, 3)) -> ContinualSAC:
    env = SeedVecEnv(makers, [environment_seed(seed) for seed in seeds])
    return ContinualSAC(env, method, seeds=seeds, device="cpu", **SHORT)


def test_a_run_of_registered_worlds_is_opened_as_it_was(tmp_path: Path, capsys: Any) -> None:
    train(agent_in([swings, swings], EWC(fisher_batches=1)), tmp_path, EVALUATION)
    trained = load_trained(tmp_path)
    rows = trained.evaluate([0, 1], 60, EVALUATION)
    trained.close()
    recorded = lines(tmp_path / "metrics.jsonl")[-len(rows) :]
    assert [{"seq": r["seq"], **row} for r, row in zip(recorded, rows, strict=True)] == recorded
    assert main(["evaluate", str(tmp_path), "--episodes", "2"]) == errors.OK
    assert "return in 2 episodes, seeds 0 3, mean" in capsys.readouterr().out
    assert RunConfig.load(tmp_path / "config.yaml").sequence.tasks == ("a", "b")


def test_a_run_without_importable_names_says_how_it_is_opened(tmp_path: Path, capsys: Any) -> None:
    class Mine(Method):
        """Does nothing, under a name that nobody else can import."""

    def make() -> Any:
        return agent_in([lambda: swings(0), lambda: swings(1)], Mine())

    train(make(), tmp_path, EVALUATION)
    last = [row["return"] for row in lines(tmp_path / "metrics.jsonl")[-8:]]
    before = lines(tmp_path / "metrics.jsonl")
    train(make(), tmp_path, EVALUATION)  # found complete
    assert lines(tmp_path / "metrics.jsonl") == before
    assert main(["evaluate", str(tmp_path)]) == errors.CONFIG
    assert "Mine" in (said := capsys.readouterr().err) and "load_policy(directory, task, " in said
    with pytest.raises(ConfigError, match="made in Python.*load_policy"):
        load_policy(tmp_path, method=Mine)
    agent = load_policy(tmp_path, env=make().get_env(), method=Mine)
    assert agent.seeds == (0, 3)
    trained = load_trained(tmp_path, 1, make().get_env(), Mine())
    assert [row["return"] for row in trained.evaluate([0, 1], 60, EVALUATION)] == last
    assert main(["table", str(tmp_path)]) == errors.OK
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "plots")]) == errors.OK


def test_a_function_s_worlds_and_a_module_s_method_serve_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass
        from functools import partial
        import gymnasium as gym
        from clrl import Method, TaskSequence

        def swings(seed):
            makers = [partial(gym.make, "Pendulum-v1", g=g + seed) for g in (10.0, 2.0)]
            return TaskSequence(makers, [30, 20], reveals="boundaries", worlds="per_seed")

        @dataclass
        class Patient(Method):
            \"\"\"Waits.\"\"\"
            patience: int = 1
            \"\"\"How long.\"\"\"
        """)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [""] + __import__("sys").path)
    words = "train mine:Patient --patience 7 --sequence mine:swings --seeds 0,2 --out run"
    words += " --evals-per-task 1 --stochastic-episodes 1 --sac.exploration-steps 5"
    words += " --sac.learning-starts 5 --sac.train-freq 5 --sac.hidden-sizes 8 8"
    assert main(words.split()) == errors.OK
    config = RunConfig.load(Path("run/config.yaml"))
    assert config.method_name == "mine:Patient" and vars(config.method)["patience"] == 7
    assert (config.sequence.reveals, config.learner.multi_head) == ("boundaries", False)
    trained: Any = load_trained("run")
    gravities = [[w().unwrapped.g for w in env.makers] for env in trained.env.envs]
    assert gravities == [[10, 2], [12, 4]]
    trained.close()
    assert main(words.split()) == errors.OK
    assert "run: was complete already" in capsys.readouterr().out


def test_a_function_whose_tasks_take_turns_serves_multitask_for_the_seeds_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "turning.py").write_text(
        textwrap.dedent("""
        from functools import partial
        import gymnasium as gym
        from clrl.envs.interleaved import InterleavedTasks

        def turns(seed):
            assert seed in (3, 5), f"seed {seed} is not one of the run"
            makers = [partial(gym.make, "Pendulum-v1", g=g) for g in (10.0, 2.0)]
            return InterleavedTasks(makers, 20)
        """)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [""] + __import__("sys").path)
    words = "train multitask --sequence turning:turns --seeds 3,5 --out run --evals-per-task 1"
    words += " --stochastic-episodes 1 --sac.exploration-steps 5 --sac.learning-starts 5"
    words += " --sac.train-freq 5"
    assert main([*words.split(), "--sac.hidden-sizes", "8", "8"]) == errors.OK
    assert RunConfig.load(Path("run/config.yaml")).sizes == (3, 1)


def test_every_seed_is_trained_and_evaluated_in_its_own_worlds(tmp_path: Path) -> None:
    def worlds(reward: float) -> TaskSequence:
        return TaskSequence([partial(Rewarded, reward)] * 2, 30, worlds="per_seed")

    data = train(
        agent_in([partial(worlds, 1.0), partial(worlds, 100.0)]), tmp_path, EVALUATION, log_every=30
    )
    assert data.returns.tolist() == [[[5.0, 5.0]] * 4, [[500.0, 500.0]] * 4]
    assert np.isnan(data.success[0]).all() and (data.success[1] == 1).all()
    trained = [row for row in lines(tmp_path / "train.jsonl") if "event" not in row]
    assert [(row["return_mean"], row["success_mean"]) for row in trained] == [
        (5.0, None), (500.0, 1.0),
    ] * 2  # fmt: skip


def test_the_last_policy_of_more_than_a_hundred_tasks_is_that_of_the_last(tmp_path: Path) -> None:
    stream = ToyStream(n_tasks=102, dim=2, examples=4)
    learner = Classifier(stream, hidden_sizes=(4,))
    train(learner, tmp_path, Evaluation(1, tasks="economical"), steps_per_task=1)
    last = load_policy(tmp_path)
    assert torch.equal(last.flats["classifier"].flat, learner.flats["classifier"].flat)
    assert not torch.equal(
        load_policy(tmp_path, 99).flats["classifier"].flat, last.flats["classifier"].flat
    )
    with pytest.raises(ConfigError, match="task 102 is finished"):
        load_policy(tmp_path, 102)


def test_a_policy_is_not_played_in_worlds_that_are_others_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    text = """
        import gymnasium as gym
        from gymnasium.wrappers import TransformReward
        from clrl import TaskSequence

        def make():
            return TransformReward(gym.make("Pendulum-v1", max_episode_steps=9), paid)

        def paid(reward):
            return FACTOR * reward

        def swings(seed):
            return TaskSequence([make], 20)
        """
    file = tmp_path / "edited_worlds.py"
    file.write_text(textwrap.dedent(text).replace("FACTOR", "1"))
    monkeypatch.syspath_prepend(str(tmp_path))
    words = f"train finetuning --sequence edited_worlds:swings --out {tmp_path / 'run'}"
    words += " --evals-per-task 1 --stochastic-episodes 1 --sac.exploration-steps 5"
    words += " --sac.learning-starts 5 --sac.train-freq 5 --sac.hidden-sizes 8"
    assert main(words.split()) == errors.OK
    assert main(["evaluate", str(tmp_path / "run"), "--episodes", "1"]) == errors.OK
    module = __import__("edited_worlds")
    monkeypatch.setattr(module, "paid", lambda reward: 2 * reward)
    module.paid.__module__, module.paid.__qualname__ = "edited_worlds", "paid"
    assert main(["evaluate", str(tmp_path / "run"), "--episodes", "1"]) == errors.CONFIG
    assert "are not those of the run: the world of task 0 gives" in capsys.readouterr().err
    assert main(words.split()) == errors.CONFIG
    assert "holds a run of other worlds: the world of task 0 gives" in capsys.readouterr().err


def asking(update: Any, method: str = "ewc", learner: Any = None) -> RunConfig:
    config = base_config("push-v3,reach-v3", method, "small", learner)
    return dataclasses.replace(config, placement=PlacementConfig("cpu", update=update))


@needs_native
def test_the_path_of_a_run_is_known_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLRL_UPDATE", raising=False)
    path, reason = update_path(asking("auto"))
    assert path == "native" and reason.startswith("compiled for ")
    assert update_path(asking("native")) == update_path(asking("auto"), "native") == (path, reason)
    assert update_path(asking("auto"), "torch") == ("torch", "what goes on began so")
    assert update_path(asking("native"), "torch") == (path, reason)
    assert update_path(asking("torch"), "native") == ("torch", "it is asked for")
    assert update_path(asking("auto", "multitask"))[0] == "native"
    assert update_path(asking("auto", "vcl")) == ("torch", "a layer is a BayesianLinear")
    for config in (asking("auto", "vcl"), asking("torch"), asking("native")):
        check_update(config)
    with pytest.raises(ConfigError, match="update is native, but a layer is a BayesianLinear"):
        check_update(asking("native", "vcl"))


def test_a_classifier_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLRL_UPDATE", raising=False)
    toy = base_config("toy", "ewc")
    assert update_path(toy) == ("torch", "the learner classifier has autograd only")
    monkeypatch.setenv("CLRL_UPDATE", "native")
    with pytest.raises(ConfigError, match="CLRL_UPDATE is native, but the learner classifier"):
        check_update(toy)


@needs_native
@pytest.mark.parametrize("begun", ["native", "torch"])
def test_a_policy_acts_by_the_path_of_its_run_where_that_can_be(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLRL_UPDATE", raising=False)
    train(tiny.make_agent(update=begun), tmp_path, tiny.EVALUATION)
    env = tiny.make_agent().get_env()
    assert load_policy(tmp_path, env=env).native.path == begun
    monkeypatch.setattr("clrl.agents.native.path.library", lacking)
    assert load_policy(tmp_path, env=env).native.path == "torch"
    run_file = RunFile(tmp_path)
    del run_file.values["update"]
    run_file.update()
    monkeypatch.undo()
    assert load_policy(tmp_path, env=env).native.path == "torch"
