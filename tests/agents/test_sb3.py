"""Stable-Baselines3's environments, callbacks, bar and logger work on an agent."""

import csv
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    ProgressBarCallback,
)
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from clrl.agents.methods.ewc import EWC
from clrl.agents.ppo import ContinualPPO
from clrl.agents.sac import ContinualSAC
from tests.agents.telling import TellingWorld, telling
from tests.agents.tiny import (
    SETTINGS,
    TinyTask,
    differences,
    method,
    sac,
    total_differences,
    vec,
)


class StopAt(BaseCallback):
    """Stops at a step, and notes what it sees."""

    def __init__(self, step: int):
        super().__init__()
        self.step = step
        self.stored: list[int] = []

    def _on_step(self) -> bool:
        assert isinstance(self.model, ContinualSAC)
        self.stored.append(int(self.model.buffer.size[0]))
        return self.num_timesteps != self.step


def test_a_callback_sees_the_step_stored_and_counts_per_seed() -> None:
    callback = StopAt(-1)
    sac(seeds=(0, 1)).learn(12, callback)
    assert callback.stored == list(range(1, 13))
    assert callback.n_calls == callback.num_timesteps == 12


def test_stopped_by_a_callback_and_continued_is_uninterrupted() -> None:
    whole = sac(seeds=(0, 1)).learn(80)
    for step in (31, 33, 60):  # with updates, without, at the task's last step
        agent = sac(seeds=(0, 1)).learn(80, StopAt(step))
        assert agent.num_timesteps == step
        due = sum(1 for s in range(step) if s >= 10 and s % 5 == 0)
        assert agent.n_updates == 5 * due  # those of the last step are done
        agent.learn(80 - step)
        assert total_differences(whole.state_dict(), agent.state_dict()) == [], step


def test_checkpoints_are_named_by_steps_of_one_seed_and_can_be_loaded(tmp_path: Path) -> None:
    agent = sac(seeds=(0, 1), method=method("ewc"))
    agent.learn(70, CheckpointCallback(20, str(tmp_path), name_prefix="it"))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["it_20_steps.zip", "it_40_steps.zip", "it_60_steps.zip"]
    loaded = ContinualSAC.load(tmp_path / "it_60_steps.zip", device="cpu")
    assert loaded.num_timesteps == 60 and loaded.seeds == (0, 1)


@pytest.mark.parametrize("deterministic", [False, True])
def test_evaluating_with_sb3_never_changes_training(deterministic: bool, tmp_path: Path) -> None:
    plain = sac(steps_per_task=200).learn(60)
    callback = EvalCallback(
        vec(steps_per_task=10**6),
        eval_freq=7,
        n_eval_episodes=2,
        deterministic=deterministic,
        best_model_save_path=str(tmp_path),
        log_path=str(tmp_path),
        verbose=0,
    )
    evaluated = sac(steps_per_task=200).learn(60, callback)
    left = differences(plain.state_dict(), evaluated.state_dict())
    assert left == ([] if deterministic else ["streams"])
    assert (tmp_path / "best_model.zip").exists() and (tmp_path / "evaluations.npz").exists()
    if not deterministic:
        streams = plain.streams.state(), evaluated.streams.state()
        assert [n for n in streams[0] if streams[0][n] != streams[1][n]] == ["evaluation"]


def test_the_progress_bar_reaches_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[tuple[float, float | None]] = []

    def note(bar: ProgressBarCallback) -> None:
        bars.append((bar.pbar.n, bar.pbar.total))

    monkeypatch.setattr(ProgressBarCallback, "_on_training_end", note)
    agent = sac(seeds=(0, 1))
    agent.learn(30, progress_bar=True)
    agent.learn(20, progress_bar=True)
    assert bars == [(30, 30), (20, 20)]


def test_a_callback_beside_the_progress_bar_is_called_once_a_step() -> None:
    callback = StopAt(25)
    agent = sac().learn(40, CallbackList([callback]), progress_bar=True)
    assert callback.n_calls == agent.num_timesteps == 25


def test_the_logger_writes_training_and_success(tmp_path: Path) -> None:
    agent = sac(seeds=(0, 1), method=method("l2"))
    agent.set_logger(configure(str(tmp_path), ["csv"]))
    agent.learn(120, log_interval=1)
    with open(tmp_path / "progress.csv") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["time/total_timesteps"]) for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] == 120  # at most one line per step
    last = rows[-1]
    for key in ("actor/loss", "critic/loss", "alpha/loss", "alpha/value", "method/penalty"):
        assert float(last[f"train/{key}"]) == float(last[f"train/{key}"]), key
    # Every episode of three steps or more succeeds at its third, not at its last.
    assert float(last["rollout/success_rate"]) > 0.9
    assert 1 <= float(last["rollout/ep_len_mean"]) <= 9
    assert float(last["rollout/ep_rew_mean"]) < 0


def test_the_last_updates_numbers_are_reported_per_seed() -> None:
    agent = sac(seeds=(0, 1, 2), method=method("l2")).learn(100)
    log = agent.losses_log()
    assert {"actor/loss", "critic/loss", "alpha/loss", "alpha/value", "method/penalty"} <= set(log)
    assert all(len(values) == 3 for values in log.values())
    assert len(set(log["actor/loss"])) == 3


@pytest.mark.parametrize(
    "n_envs, seeds, message",
    [
        (2, (0,), "env has 2 environments and there are 1 seeds; needed is one environment per"),
        (1, (0, 1), "env has 1 environments and there are 2 seeds; needed is one environment per"),
        (2, (3, 3), r"seeds is \(3, 3\); allowed are different numbers from 0 on"),
        (1, (-1,), r"seeds is \(-1,\); allowed are different numbers from 0 on"),
        (1, (), r"seeds is \(\); allowed are different numbers from 0 on"),
        (1, 3, "seeds is 3; it must be a list"),
        (1, None, "seeds is None; it must be a list"),
    ],
)
def test_seeds_must_fit_the_environments(n_envs: int, seeds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContinualSAC(vec(n_envs), seeds=seeds, **SETTINGS)


def test_statistics_that_mix_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="VecNormalize, whose statistics mix seeds"):
        ContinualSAC(VecNormalize(vec(2)), seeds=(0, 1), **SETTINGS)
    alone = ContinualSAC(VecNormalize(DummyVecEnv([TinyTask])), **SETTINGS)
    assert alone.learn(30).n_updates > 0


def test_set_env_refuses_what_the_constructor_refuses() -> None:
    with pytest.raises((ValueError, AssertionError)):
        sac(seeds=(0, 1)).set_env(vec(3))
    with pytest.raises(ValueError, match="VecNormalize, whose statistics mix seeds"):
        sac(seeds=(0, 1)).set_env(VecNormalize(vec(2)))
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        sac().set_env(vec(n_tasks=3))


def only_world(agent: ContinualSAC) -> Any:
    env = agent.get_env()
    assert isinstance(env, DummyVecEnv)
    return env.envs[0]


def test_the_current_task_is_asked_for_when_an_episode_starts_only() -> None:
    agent = sac(telling("boundaries", n_seeds=1)).learn(60)
    world = only_world(agent)
    episodes = agent._episode_num
    assert 0 < episodes < 20 and world.unwrapped.asked in (episodes, episodes + 1)
    for reveals in ("task", "nothing"):
        world = only_world(sac(telling(reveals, n_seeds=1)).learn(60))
        assert world.unwrapped.asked == 0


def test_seeds_in_different_tasks_are_refused() -> None:
    short = telling("boundaries", n_seeds=1, steps_per_task=40).envs[0]
    env = DummyVecEnv([lambda: TellingWorld("boundaries"), lambda: short])
    with pytest.raises(ValueError, match=r"are in tasks \[0, 1\]; needed is one for all seeds"):
        sac(env, seeds=(4, 2)).learn(50)
    mixed = DummyVecEnv([lambda: TellingWorld("boundaries"), lambda: TellingWorld("nothing")])
    with pytest.raises(ValueError, match="reveals of the environments is .*one value for all"):
        sac(mixed, seeds=(4, 2))


class Plain(gym.Env):
    """Numbers between bounds, with attributes of its own."""

    def __init__(self, low: Any = -1.0, high: Any = 1.0, size: int = 4, **own: Any) -> None:
        self.observation_space = Box(np.float32(low), np.float32(high), (size,), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        for name, value in own.items():
            setattr(self, name, value)

    def observation(self) -> Any:
        return self.observation_space.sample() * np.float32(0.5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation(), {}

    def step(self, action: np.ndarray) -> Any:
        return self.observation(), 0.0, False, False, {}


@pytest.mark.parametrize("kind", [ContinualSAC, ContinualPPO])
@pytest.mark.parametrize(
    "n, low, high",
    [
        (2, -1, 1), (4, 0, 1), (10, -1, 1), (300, 0, 1), (np.int64(3), 0, 2), (0, 0, 1), (-1, 0, 1),
        (40_000, 0, 1), (2.0, 0, 1), (True, 0, 1), ("2", 0, 1), (None, 0, 1), ([2], 0, 1),
        (float("nan"), 0, 1), (torch.tensor([2, 3]), 0, 1), (len, 0, 1),
    ],
    ids=repr,
)  # fmt: skip
def test_an_attribute_that_happens_to_be_called_n_tasks_eats_nothing(
    kind: Any, n: Any, low: float, high: float
) -> None:
    with pytest.warns(UserWarning, match="n_tasks of the environment is .*, but its observations"):
        agent = kind(Plain(low, high, n_tasks=n), device="cpu")
    assert agent.n_tasks == 1 and agent.spaces.feature_dim == 4
    agent.learn(5)
    assert agent.task == 0


@pytest.mark.parametrize("n", [0, -1, 40_000, 2.0, True, "2", None, [2]])
def test_a_sequence_s_n_tasks_that_is_no_number_of_tasks_is_refused(n: Any) -> None:
    with pytest.raises(ValueError, match="n_tasks is .*(whole number|allowed are 1 to 32768)"):
        ContinualSAC(Plain(n_tasks=n, reveals="task"), device="cpu")


@pytest.mark.parametrize("n", [2, np.int64(2), np.array(2), torch.tensor(2)], ids=repr)
def test_a_number_of_tasks_counts_where_a_one_hot_has_its_place(n: Any) -> None:
    assert ContinualSAC(Plain(0, 1, n_tasks=n), device="cpu").spaces.n_tasks == 2


@pytest.mark.parametrize("own", [{"n_tasks": 2}, {"n_tasks": 2, "reveals": "task"}])
def test_what_is_no_one_hot_is_refused_in_training_and_prediction(own: dict[str, Any]) -> None:
    agent = ContinualSAC(Plain(0, 1, **own), device="cpu")
    for use in (lambda: agent.learn(3), lambda: agent.predict(np.full(4, 0.5, np.float32))):
        with pytest.raises(ValueError, match="n_tasks of the environment is 2, so an observation"):
            use()
    with pytest.raises(ValueError, match="has 2 numbers; needed are more than 2"):
        ContinualSAC(Plain(size=2, n_tasks=2, reveals="task"), device="cpu")


ENV = Plain()


@pytest.mark.parametrize("kind", [ContinualSAC, ContinualPPO])
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("MlpPolicy", ENV), "env is 'MlpPolicy'; needed is .* there is none for a policy"),
        (("MlpPolicy", "Pendulum-v1"), "env is 'MlpPolicy'"),
        (("Pendulum-v0x",), "env is 'Pendulum-v0x'; needed is a Gymnasium environment"),
        ((Plain,), "env is <class .*; needed is a Gymnasium environment"),
        ((lambda: ENV,), "env is <function .*; needed is a Gymnasium environment"),
        (([ENV],), "env is .*; needed is a Gymnasium environment"),
        ((ENV, EWC), r"method is the class EWC; needed is an object of a method, EWC\(\)"),
        ((ENV, "ewc"), r"method is 'ewc'; needed is an object of a method, such as EWC\(\)"),
        ((ENV, ENV), "method is an environment; needed is an object of a method; the envir"),
        ((ENV, dict), "method is the class dict; needed is an object of a method, such as"),
        ((ENV, 3), "method is 3; needed is an object"),
    ],
)
def test_the_first_line_of_a_newcomer_is_answered(
    kind: Any, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        kind(*arguments)


class Broken(Plain):
    """An environment that keeps to another interface in one place."""

    def __init__(self, reset: Any = None, step: Any = None, observation: Any = None) -> None:
        super().__init__(size=2)
        self._reset, self._step, self._observation = reset, step, observation

    def observation(self) -> Any:
        return super().observation() if self._observation is None else self._observation

    def reset(self, **keywords: Any) -> Any:
        result = super().reset(**keywords)
        return result if self._reset is None else self._reset

    def step(self, action: np.ndarray) -> Any:
        return super().step(action) if self._step is None else self._step


TWO = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    "broken, message",
    [
        (Broken(reset=TWO), r"reset\(\) of .* returned a ndarray; needed is \(observation, info\)"),
        (Broken(reset=(TWO, TWO)), r"reset\(\) of .* returned a tuple of 2; needed is"),
        (Broken(reset=(TWO, {}, {})), r"reset\(\) of .* returned a tuple of 3; needed is"),
        (Broken(step=(TWO, 0.0, False, {})), r"step\(\) of .* returned a tuple of 4; needed is"),
        (Broken(step=TWO), r"step\(\) of .* returned a ndarray; needed is"),
        (Broken(observation=np.zeros(1)), r"has the shape \(1,\); needed is \(2,\)"),
        (Broken(observation=np.zeros((1, 2))), r"has the shape \(1, 2\); needed is \(2,\)"),
        (Broken(observation=0.5), r"has the shape \(\); needed is \(2,\)"),
    ],
)
def test_an_environment_of_another_interface_is_refused(broken: Broken, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContinualSAC(broken, device="cpu").learn(5)


@pytest.mark.parametrize("seeds", [[1, 0], [5, 3]])
def test_environments_in_another_order_than_the_seeds_are_refused(seeds: list[int]) -> None:
    env = vec(2)
    env._seeds = [*seeds[::-1]]
    with pytest.raises(ValueError, match="have the seeds .* both must be in the same order"):
        ContinualSAC(env, seeds=seeds, **SETTINGS)
    env._seeds = list(seeds)
    assert ContinualSAC(env, seeds=seeds, **SETTINGS).seeds == tuple(seeds)


@pytest.mark.parametrize("seeds", [(1.5,), ("1",), (True,), (None,), (np.float64(1),)])
def test_seeds_are_whole_numbers(seeds: Any) -> None:
    with pytest.raises(ValueError, match="seeds is .*; it must be a whole number"):
        ContinualSAC(vec(), seeds=seeds, **SETTINGS)


def test_seeds_of_numpy_are_plain_numbers() -> None:
    seeds: Any
    for seeds in (np.arange(2), [np.int64(0), np.int8(1)], range(2), np.array([0, 1]).tolist()):
        found = ContinualSAC(vec(2), seeds=seeds, **SETTINGS).seeds
        assert found == (0, 1) and all(type(seed) is int for seed in found)


@pytest.mark.parametrize("steps", [-1, 2.5, float("nan"), float("inf"), "10", None, True])
def test_learning_for_no_number_of_steps_is_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="total_timesteps is .*; it must be a whole number of at"):
        sac().learn(steps)


def test_learning_for_a_whole_number_of_any_type() -> None:
    assert sac().learn(np.int64(3)).learn(1e1).learn(0).num_timesteps == 13  # type: ignore[arg-type]
