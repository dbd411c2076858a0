"""The one training loop of SAC and PPO, on Stable-Baselines3's base class, with a seed axis."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.utils import check_for_correct_spaces
from torch import Tensor

from clrl.agents import sb3, storage
from clrl.agents.acting import Acting
from clrl.agents.learner import Parity
from clrl.agents.methods.base import Method, own_copy
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.native.path import Engine, Update, UpdatePath
from clrl.agents.networks.layers import is_exact
from clrl.agents.randomness import Streams, check_seeds
from clrl.agents.settings.device import check_device
from clrl.agents.settings.fields import check_value, whole_number
from clrl.agents.settings.learners import make_settings
from clrl.agents.spaces import TaskSpaces
from clrl.agents.state import State
from clrl.agents.transition import Transition

Self = TypeVar("Self", bound="Agent")

_LAST = ("last_obs", "last_episode_starts")


class Agent(Acting, BaseAlgorithm):
    """A learner with its method, trained on S seeds in lockstep: environment s belongs to seed s.

    Stable-Baselines3's callbacks, logger, progress bar, `predict`, `set_env` and VecEnv work as
    there. What differs:

    * `num_timesteps` counts steps of one seed, not of all.
    * `learn(a)` then `learn(b)` is `learn(a + b)` bit for bit: the counter goes on by default.
    * A callback is called after the transition is stored. If it returns False, the updates that
      belong to the step are still done, so that the run can go on from exactly there.
    * `predict` takes K rows per seed, in order, and draws from a stream of its own, so evaluating
      never changes training.
    * `save` writes tensors and JSON, and `load` runs no code from the file. Environments are not
      saved: `load(path, env)` goes on from the first observation of `env`.
    * On a CPU a seed's trajectory is bit for bit the same alone and beside others. The native path
      needs nothing for it; VCL's passes and the torch path need layer widths that are multiples of
      16 (torch picks its kernels by the memory alignment of a seed's matrix), one number of threads
      and, with oneDNN products, a batch_size times width above 4,096 (below it takes others).

    What the environments reveal decides how a change of task is noticed: it is seen in the
    observation's one-hot ("task"), told when an episode starts ("boundaries"; `told_task` says
    which task), or not at all ("nothing": all is task 0). The hooks of the method run between two
    steps. A task may come back: it starts and ends again; the method says what it does with what is
    old. A training protocol that needs to act in between calls `end_task` and `start_task`. With
    tasks that are interleaved every seed may be in another one: all of them together count as one
    task, number 0, that starts once.

    Args:
        env: an environment or a VecEnv with one environment per seed. Its attribute `n_tasks` says
            how many tasks there are (1 without it), `reveals` what of them is revealed ("task"
            without it: then, with several, the last observation entries are the one-hot of the
            task), `interleaved` whether they take turns.
        method: the continual-learning method; None is fine-tuning. The agent keeps a copy.
        settings: of the learner; None means the learner's and the method's published ones.
        seeds: one per environment; different from each other.
        tensorboard_log: as in SB3.
        verbose: as in SB3.
        device: as in SB3.
        spaces: what to read and write where there is no environment.
        parity: "original" reproduces what is taken for defects of the published code.
        update: "native" takes gradients by compiled code and "torch" by autograd; "auto" is native
            where it is right and can be had (`agent.native` says which, and why).
        **overrides: single settings.

    Raises:
        ValueError: a wrong number of environments, a repeated seed, VecNormalize with seeds, spaces
            that cannot be read or written (see `TaskSpaces`), a device that is not there, a method
            that does not work on this learner or with what the environments reveal.
        TypeError: an unknown setting; no environment, or no object of a method.
    """

    settings_class: ClassVar[type]
    engine_class: ClassVar[type[Engine] | None] = None
    counters: ClassVar[tuple[str, ...]] = (*Acting.counters, "_episode_num")

    def __init__(
        self,
        env: GymEnv | str | None,
        method: Method | None = None,
        settings: Any = None,
        *,
        seeds: Sequence[int] = (0,),
        tensorboard_log: str | None = None,
        verbose: int = 0,
        device: torch.device | str = "auto",
        spaces: TaskSpaces | None = None,
        parity: Parity = "clean",
        update: Update = "auto",
        **overrides: Any,
    ):
        self.parity = check_value(parity, Parity, "parity")
        check_device(device)
        env = sb3.checked_env(env)
        self.method = own_copy(method or Finetuning())
        super().__init__(
            BasePolicy,  # never built: the networks are ours
            env,
            learning_rate=0.0,  # set below: it depends on what the environments reveal
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            supported_action_spaces=(gym.spaces.Box,),
        )
        self.seeds = check_seeds(seeds)
        self.spaces = sb3.choose_spaces(self, spaces)
        self.n_tasks, self.interleaved = self.spaces.n_told, self.spaces.interleaved
        self.task_dtype = self.spaces.task_dtype
        self.settings = self._choose_settings(settings, overrides)
        self.learning_rate = self.settings.learning_rate
        self.streams = Streams(self.seeds)
        self.task, self.task_step, self.task_open, self.acting_task = 0, 0, False, 0
        self.ended, self.acts_only = [], False
        self.report: dict[str, Tensor] = {}
        self._setup_model()
        self.native = UpdatePath(update, self.engine_class, self)

    def _choose_settings(self, given: Any, overrides: dict[str, Any]) -> Any:
        """Return the learner's settings, checked against method and sequence."""
        reveals = self.spaces.reveals
        settings = make_settings(self.settings_class, given, self.method, overrides, reveals)
        if self.interleaved and not settings.can_interleave:
            raise ValueError(
                f"tasks are interleaved, by {type(self.method).__name__} or the environments; the "
                f"learner {settings.name} needs one task for all seeds at a time"
            )
        return settings

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.build()
        self.method.attach(self)
        self.make_optimizers()

    def set_random_seed(self, seed: int | None = None) -> None:
        """Do nothing: every draw comes from a named stream, and no global generator is touched."""

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Go on in other environments, one per seed; they are seeded like the first ones."""
        wrapped = self._wrap_env(sb3.checked_env(env), self.verbose)
        sb3.adopt_env(wrapped, self.seeds)
        check_for_correct_spaces(wrapped, self.observation_space, self.action_space)
        self.spaces.check_same_tasks(sb3.spaces_of(wrapped, self.method.interleaved))
        self.n_envs = self.n_seeds
        super().set_env(wrapped, force_reset)

    @property
    def compiled(self) -> bool:
        """Whether compiled code does what it can: on the native path."""
        return self.native.path == "native" and not is_exact()

    def engine(self, batch: Any = None) -> Any:
        """Return what computes gradients without autograd; None, where nothing does."""
        return self.native.engine(self, batch)

    @abstractmethod
    def build(self) -> None:
        """Make networks and the store of the current data."""

    @abstractmethod
    def explore(self, features: np.ndarray) -> np.ndarray:
        """Return training actions [S, A], as `to_env` takes them, for features [S, D]."""

    @abstractmethod
    def store(self, transition: Transition) -> None:
        """Keep one transition per seed, except where `keep` is False."""

    @abstractmethod
    def train_if_due(self) -> None:
        """Take the updates that belong to the step just stored."""

    # Training

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "run",
        reset_num_timesteps: bool = False,
        progress_bar: bool = False,
    ) -> Self:
        """Train for a number of steps of every seed; arguments as in SB3's off-policy agents."""
        steps = whole_number(total_timesteps, "total_timesteps")
        total, callbacks = self._setup_learn(
            steps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callbacks.on_training_start({**locals(), "total_timesteps": total}, globals())
        callbacks.on_rollout_start()
        go_on = True
        while go_on and self.num_timesteps < total:
            go_on = self._step(callbacks, log_interval)
        callbacks.on_rollout_end()
        callbacks.on_training_end()
        return self

    def _init_callback(self, callback: MaybeCallback, progress_bar: bool = False) -> BaseCallback:
        callbacks = super()._init_callback(callback, progress_bar=False)
        if progress_bar:
            callbacks = CallbackList([callbacks, sb3.StepProgressBar()])
            callbacks.init_callback(self)
        return callbacks

    def _step(self, callbacks: BaseCallback, log_interval: int | None) -> bool:
        """Act, step, store, call back, update. Returns whether to go on."""
        assert self.env is not None and isinstance(self._last_obs, np.ndarray)
        self._enter_task()
        features = self.spaces.features(self._last_obs)
        actions = self.explore(features)
        result = self.env.step(self.to_env(actions))
        self.num_timesteps += 1
        self.task_step += 1
        transition = Transition.of(self.spaces, features, actions, result)
        transition.check_finite(self.seeds, self.acting_task)
        self.store(transition)
        new_obs, rewards, dones, infos = result
        assert isinstance(new_obs, np.ndarray)
        self._last_obs, self._last_episode_starts = new_obs, dones
        self._update_info_buffer(infos, dones)
        callbacks.update_locals(locals())
        go_on = callbacks.on_step()
        self.train_if_due()
        if True in dones.tolist():
            self._episode_num += 1
            if log_interval is not None and self._episode_num % log_interval == 0:
                sb3.log_episodes(self)
        return go_on

    def _enter_task(self) -> None:
        """Switch tasks when the environments show or tell another one."""
        observed = sb3.current_task(self)
        if self.interleaved:
            # Per seed even where they agree: what a seed computes must not depend on the others.
            self.acting_task = np.array(np.broadcast_to(observed, self.n_seeds))
            observed = 0
        elif isinstance(observed, int):
            self.acting_task = observed
        else:
            raise ValueError(
                f"the environments are in tasks {observed}; needed is one for all seeds"
            )
        if self.task_open and observed != self.task:
            self.method.check_start(observed)  # before the open one ends: nothing has changed yet
            if self.n_updates == 0:
                warnings.warn(
                    f"task {self.task} ends after {self.task_step} steps without an update, so "
                    f"nothing was learned: the settings of {self.name} are made for longer tasks",
                    stacklevel=2,
                )
            if self.task_step > 0:
                self.end_task()
            self.task_open = False  # without a step there was nothing to learn from
        if not self.task_open:
            self.start_task(observed)

    # Storing

    def state_dict(self, copy_data: bool = True) -> State:
        """Return everything but the environments; what they showed last is part of it."""
        state = super().state_dict(copy_data)
        for name in _LAST:
            value = getattr(self, f"_{name}")
            if isinstance(value, np.ndarray):
                state["tensors"][name] = torch.from_numpy(value.copy())
        return state

    def load_state_dict(self, state: State) -> None:
        """Set everything but the environments."""
        super().load_state_dict(state)
        for name in _LAST:
            if name in state["tensors"]:
                setattr(self, f"_{name}", state["tensors"][name].numpy().copy())

    def take(self: Self, index: int) -> Self:
        """Return the agent of the seed at a position, alone."""
        return storage.take(self, index)

    def save(  # type: ignore[override]
        self, path: str | Path, exclude: Sequence[str] | None = None, include: None = None
    ) -> None:
        """Write the agent to a file; `exclude=["buffer"]` leaves the current data out."""
        storage.save(self, path, exclude or ())

    @classmethod
    def load(  # type: ignore[override]
        cls: type[Self],
        path: str | Path,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        **kwargs: Any,
    ) -> Self:
        """Read an agent that `save` wrote; keywords are those of the constructor."""
        return storage.load(cls, path, env, device, kwargs)
