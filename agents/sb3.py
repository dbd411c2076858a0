"""What the training loop does for Stable-Baselines3: its environments, its bar, its log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.callbacks import ProgressBarCallback
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_normalize

from clrl.agents.randomness import environment_seed
from clrl.agents.spaces import TaskSpaces

if TYPE_CHECKING:
    from clrl.agents.agent import Agent


class StepProgressBar(ProgressBarCallback):
    """SB3's bar, counting steps per seed (theirs counts the steps of all environments)."""

    def _on_step(self) -> bool:
        self.pbar.update(1)
        return True


def adopt_env(env: VecEnv, seeds: Sequence[int]) -> None:
    """Check that environment s can belong to seed s, and seed its first reset.

    Raises:
        ValueError: a wrong number of environments, or VecNormalize with several seeds.
    """
    if env.num_envs != len(seeds):
        raise ValueError(
            f"env has {env.num_envs} environments and there are {len(seeds)} seeds; "
            "needed is one environment per seed"
        )
    if len(seeds) > 1 and unwrap_vec_normalize(env) is not None:
        raise ValueError("env is a VecNormalize, whose statistics mix seeds; allowed with one seed")
    while isinstance(env, VecEnvWrapper):
        env = env.venv
    # VecEnv.seed(k) would give environment s the seed k + s.
    env._seeds = [environment_seed(seed) for seed in seeds]


def choose_spaces(agent: Agent, given: TaskSpaces | None) -> TaskSpaces:
    """Return the spaces of an agent's environments; without one those that are given."""
    turns = agent.method.interleaved
    if agent.env is not None:
        adopt_env(agent.env, agent.seeds)
        return spaces_of(agent.env, turns)
    if given is None:
        raise ValueError("env is None; needed is an environment, or `spaces`")
    agent.observation_space, agent.action_space = given.observation, given.action
    return given.taking_turns() if turns else given


def spaces_of(env: VecEnv, interleaved: bool) -> TaskSpaces:
    """Return how to read environments: what they say of their tasks, or one task and no one-hot.

    Args:
        env: its attributes `n_tasks`, `reveals` and `interleaved` count, where it has them.
        interleaved: whether tasks take turns for another reason.
    """
    spaces = TaskSpaces(
        env.observation_space,
        env.action_space,
        int(attribute(env, "n_tasks", 1)),
        attribute(env, "reveals", "task"),
        bool(attribute(env, "interleaved", False)) or interleaved,
    )
    if spaces.reveals != "task" and spaces.n_told > 1 and not env.has_attr("told_task"):
        raise ValueError(f"env reveals {spaces.reveals}, but has no told_task to ask for the task")
    return spaces


def attribute(env: VecEnv, name: str, default: Any) -> Any:
    """Return what all environments have under a name, or the default where they lack it.

    Raises:
        ValueError: they have different values.
    """
    if not env.has_attr(name):  # asking for it would end SB3's worker processes
        return default
    values = env.get_attr(name)
    if any(value != values[0] for value in values):
        raise ValueError(f"{name} of the environments is {values}; needed is one value for all")
    return values[0]


def current_task(agent: Agent) -> int | np.ndarray | list[int]:
    """Return the task as far as it is revealed: that of all seeds, or of each.

    Environments that tell of a change without showing it are asked when an episode starts: a task's
    last step ends one.
    """
    assert agent.env is not None and isinstance(agent._last_obs, np.ndarray)
    if agent.spaces.reveals == "task" or agent.n_tasks == 1:
        return agent.spaces.tasks(agent._last_obs)
    starts = agent._last_episode_starts
    if agent.task_open and starts is not None and not starts.any():
        return agent.task
    told = [int(task) for task in agent.env.get_attr("told_task")]
    return told[0] if len(set(told)) == 1 else told


def log_episodes(agent: Agent) -> None:
    """Write the last episodes and the last update to SB3's logger, averaged over seeds."""
    log, episodes, successes = agent.logger, agent.ep_info_buffer, agent.ep_success_buffer
    log.record("time/episodes", agent._episode_num, exclude="tensorboard")
    if episodes:
        log.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in episodes]))
        log.record("rollout/ep_len_mean", safe_mean([info["l"] for info in episodes]))
    if successes:
        log.record("rollout/success_rate", safe_mean(list(successes)))
    seconds = max((time.time_ns() - agent.start_time) / 1e9, 1e-9)
    done = agent.num_timesteps - agent._num_timesteps_at_start
    log.record("time/fps", int(done / seconds))
    log.record("time/total_timesteps", agent.num_timesteps, exclude="tensorboard")
    for name, values in agent.losses_log().items():
        log.record(f"train/{name}", sum(values) / len(values))
    log.dump(step=agent.num_timesteps)
