"""What the training loop does for Stable-Baselines3: its environments, its bar, its log."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import ProgressBarCallback
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_normalize

from clrl.agents.randomness import environment_seed
from clrl.agents.spaces import TaskSpaces, check_bounded, check_box, task_dtype

if TYPE_CHECKING:
    from clrl.agents.agent import Agent


class StepProgressBar(ProgressBarCallback):
    """SB3's bar, counting steps per seed (theirs counts the steps of all environments)."""

    def _on_step(self) -> bool:
        self.pbar.update(1)
        return True


class StrictEnv(gym.Wrapper):
    """A single environment, held to Gymnasium's interface, where SB3 would broadcast and go on."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode; see `gymnasium.Env.reset`."""
        result = self.env.reset(seed=seed, options=options)
        return self._checked("reset()", result, "observation, info")

    def step(self, action: Any) -> Any:
        """Take a step; see `gymnasium.Env.step`."""
        needed = "observation, reward, terminated, truncated, info"
        return self._checked("step()", self.env.step(action), needed)

    def _checked(self, call: str, result: Any, needed: str) -> Any:
        """Return what a call gave, if it is such a tuple, its observation of the right shape."""
        form = isinstance(result, tuple) and len(result) == len(needed.split(", "))
        if not form or not isinstance(result[-1], dict):
            raise ValueError(
                f"{call} of {self.env} returned {_shown(result)}; needed is ({needed}), as "
                "Gymnasium has it since 0.26"
            )
        shape = self.observation_space.shape
        if np.shape(result[0]) != shape:
            raise ValueError(
                f"an observation of {self.env} has the shape {np.shape(result[0])}; needed is "
                f"{shape}, that of its observation_space"
            )
        return result


def _shown(result: Any) -> str:
    return (
        f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__name__}"
    )


def checked_env(env: Any) -> Any:
    """Return an agent's environment, a single one held to Gymnasium's interface.

    Raises:
        TypeError: it is none.
        ValueError: an agent cannot read or write its spaces.
    """
    made = env
    if isinstance(env, str):
        with contextlib.suppress(gym.error.Error):
            made = gym.make(env)
    if isinstance(made, (str, type)) or (env is not None and not hasattr(made, "action_space")):
        raise TypeError(
            f"env is {env!r}; needed is a Gymnasium environment, a VecEnv, or the id of a "
            "registered environment. It is the first argument, and the method the second; there "
            "is none for a policy"
        )
    env = made
    if isinstance(env, (gym.Env, VecEnv)):  # of others Stable-Baselines3 says what it can do
        check_box("observation_space", env.observation_space)
        check_bounded("action_space", env.action_space)
    return StrictEnv(env) if isinstance(env, gym.Env) else env


def adopt_env(env: VecEnv, seeds: Sequence[int]) -> None:
    """Check that environment s can belong to seed s, and seed its first reset.

    Raises:
        ValueError: a wrong number of environments, environments of the same seeds in another
            order, or VecNormalize with several seeds.
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
    own = [seed for seed in getattr(env, "_seeds", ()) if seed is not None]
    if own != list(seeds) and sorted(own) == sorted(seeds):
        raise ValueError(
            f"the environments have the seeds {own} and the agent {list(seeds)}; environment s "
            "belongs to seed s, so both must be in the same order"
        )
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

    Raises:
        ValueError: `n_tasks` is no number of tasks, or observations of environments that say what
            they reveal have no place for the one-hot of them.
    """
    spaces = TaskSpaces(
        env.observation_space,
        env.action_space,
        told_tasks(env),
        attribute(env, "reveals", "task"),
        attribute(env, "interleaved", False) is True or interleaved,
    )
    if spaces.reveals != "task" and spaces.n_told > 1 and not env.has_attr("told_task"):
        raise ValueError(f"env reveals {spaces.reveals}, but has no told_task to ask for the task")
    return spaces


def told_tasks(env: VecEnv) -> int:
    """Return the number of tasks that environments tell of; 1 if their `n_tasks` is something else.

    The attribute counts where they say what they reveal, too, or where an observation may end in a
    one-hot of so many entries.
    """
    if env.has_attr("n_tasks") and env.has_attr("reveals"):  # what says so is a sequence
        n = attribute(env, "n_tasks", 1)
        task_dtype(n)
        return int(n)
    values = (
        [_whole(value) for value in env.get_attr("n_tasks")] if env.has_attr("n_tasks") else [1]
    )
    n, space = values[0], env.observation_space
    assert isinstance(space, gym.spaces.Box)
    if n == 1 and set(values) == {1}:
        return 1
    if n is not None and set(values) == {n} and 1 < n < space.shape[0]:
        if not space.low[-n:].any() and bool((space.high[-n:] == 1).all()):
            return n
    warnings.warn(
        f"n_tasks of the environment is {env.get_attr('n_tasks')[0]!r}, but its observations of "
        f"{space.shape[0]} numbers do not end in the one-hot of so many tasks, whose entries are "
        "bounded by 0 and 1; the attribute is not used, and there is one task",
        stacklevel=2,
    )
    return 1


def _whole(value: Any) -> int | None:
    """Return a whole number, also one of NumPy's or torch's; None for anything else."""
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    return value if type(value) is int else None


def attribute(env: VecEnv, name: str, default: Any) -> Any:
    """Return what all environments have under a name, or the default where they lack it.

    Raises:
        ValueError: they have different values.
    """
    if not env.has_attr(name):  # asking for it would end SB3's worker processes
        return default
    values = env.get_attr(name)
    if any(not _equal(value, values[0]) for value in values[1:]):
        raise ValueError(f"{name} of the environments is {values}; needed is one value for all")
    return values[0]


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(np.all(one == other))
    except Exception:  # values of which nobody can say
        return False


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
