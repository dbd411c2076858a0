"""Stable-Baselines3's environments, callbacks, bar and logger work on an agent."""

import csv
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    ProgressBarCallback,
)
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

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
