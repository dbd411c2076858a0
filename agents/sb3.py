"""What the training loop does for Stable-Baselines3: its environments, its bar, its log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stable_baselines3.common.callbacks import ProgressBarCallback
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_normalize

from clrl.agents.randomness import environment_seed

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


def count_tasks(env: VecEnv) -> int:
    """Return the environments' `n_tasks`; 1 for environments that know of no tasks."""
    try:
        return int(env.get_attr("n_tasks")[0])
    except AttributeError:
        return 1


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
