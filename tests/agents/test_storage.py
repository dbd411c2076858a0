"""Saving, loading and taking one seed; nothing in a file is ever executed."""

import functools
import os
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch

from clrl.agents.methods import METHODS
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import differences, method, sac, total_differences, vec

OBS = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
OBS[..., -2:] = 0.0, 1.0  # of task 1


def trained(name: str = "ewc", **settings: Any) -> ContinualSAC:
    return sac(method=method(name), seeds=(4, 2), **settings).learn(80)


@functools.cache
def shared(name: str) -> ContinualSAC:
    """Return a trained agent, to be looked at only."""
    return trained(name)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_loaded_agent_is_the_saved_one(name: str, tmp_path: Path) -> None:
    agent = shared(name)
    agent.save(tmp_path / "agent")
    loaded = ContinualSAC.load(tmp_path / "agent.zip", device="cpu")
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []
    assert loaded.settings == agent.settings and loaded.method == agent.method
    assert (loaded.seeds, loaded.spaces.n_tasks, loaded.task) == (agent.seeds, 2, agent.task)
    assert np.array_equal(agent.act(OBS, True), loaded.act(OBS, True))
    for _ in range(2):  # the evaluation stream goes on too
        assert np.array_equal(agent.predict(OBS[0])[0], loaded.predict(OBS[0])[0])


def test_training_goes_on_after_loading_as_if_nothing_had_happened(tmp_path: Path) -> None:
    agent = trained()
    agent.save(tmp_path / "agent")
    env = vec(2)
    loaded = ContinualSAC.load(tmp_path / "agent", env=env, device="cpu")
    env.reset()
    for s, state in enumerate(agent.env.env_method("state")):  # type: ignore[union-attr]
        env.env_method("restore", state, indices=s)
    loaded._last_obs = np.array(agent._last_obs)
    for each in (agent, loaded):
        each.learn(20)
    assert total_differences(agent.state_dict(), loaded.state_dict()) == []


def test_an_agent_loaded_without_an_environment_can_be_given_one(tmp_path: Path) -> None:
    trained().save(tmp_path / "agent")
    loaded = ContinualSAC.load(tmp_path / "agent", device="cpu")
    loaded.set_env(vec(2))
    assert loaded.learn(10).num_timesteps == 90


def test_a_loaded_agent_learns_in_another_environment(tmp_path: Path) -> None:
    trained().save(tmp_path / "agent")
    loaded = ContinualSAC.load(tmp_path / "agent", env=vec(2), device="cpu")
    loaded.learn(10)
    assert loaded.num_timesteps == 90


def test_loading_into_an_environment_with_other_spaces_is_refused(tmp_path: Path) -> None:
    trained().save(tmp_path / "agent")
    with pytest.raises(ValueError, match="the stored .* this agent has"):
        ContinualSAC.load(tmp_path / "agent", env=vec(2, n_tasks=4), device="cpu")


def test_the_buffer_can_be_left_out(tmp_path: Path) -> None:
    agent = trained()
    agent.save(tmp_path / "whole")
    agent.save(tmp_path / "small", exclude=["buffer"])
    loaded = ContinualSAC.load(tmp_path / "small", device="cpu")
    assert loaded.buffer.size.tolist() == [0, 0]
    names = total_differences(agent.state_dict(), loaded.state_dict())
    assert names and all("buffer." in name for name in names)
    assert os.path.getsize(tmp_path / "small.zip") < os.path.getsize(tmp_path / "whole.zip")
    with pytest.raises(ValueError, match=r"exclude names \['weights'\]; allowed is 'buffer'"):
        agent.save(tmp_path / "no", exclude=["weights"])


def test_a_file_of_stable_baselines3_is_refused_with_the_reason(tmp_path: Path) -> None:
    theirs = stable_baselines3.SAC("MlpPolicy", gym.make("Pendulum-v1"), buffer_size=10)
    theirs.save(tmp_path / "theirs")
    with pytest.raises(ValueError, match="written by Stable-Baselines3, whose format runs code"):
        ContinualSAC.load(tmp_path / "theirs")


class Sentinel:
    """Makes a file when unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_refused_and_not_executed(how: str, tmp_path: Path) -> None:
    sentinel, path = tmp_path / "sentinel", tmp_path / "agent.zip"
    payload = {"format": "clrl-agent-1", "json": "{}", "tensors": {"x": Sentinel(sentinel)}}
    if how == "pickle":
        path.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, path)
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        ContinualSAC.load(path)
    assert not sentinel.exists()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.zip")
    with pytest.raises(ValueError, match="is not an agent of this library"):
        ContinualSAC.load(tmp_path / "other")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_taking_a_seed_gives_its_column(name: str) -> None:
    agent = shared(name)
    for s, seed in enumerate(agent.seeds):
        alone = agent.take(s)
        assert alone.seeds == (seed,)
        assert differences(alone.state_dict(), agent.state_dict(), 0, s) == []
        np.testing.assert_allclose(
            alone.act(OBS[s : s + 1], True)[0], agent.act(OBS, True)[s], rtol=1e-5, atol=1e-6
        )


def test_taking_leaves_the_agent_alone_and_shares_nothing() -> None:
    agent = trained()
    before = agent.state_dict()
    alone = agent.take(0)
    alone.flats["actor"].flat.fill_(7.0)
    alone.method.state["anchor.core.layers.0.weight"].fill_(7.0)
    alone.buffer.arrays["obs"].fill(7.0)
    alone.streams.normal(4, (3,))
    assert total_differences(before, agent.state_dict()) == []
    with pytest.raises(ValueError, match="index is 2; allowed are 0 to 1"):
        agent.take(2)
