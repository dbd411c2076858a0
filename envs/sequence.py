"""A world that changes: tasks one after the other, switched at the exact step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from clrl.envs.contract.generators import generator_state, set_generator_state
from clrl.envs.contract.identity import identity_of
from clrl.envs.makers import make_world, world_key
from clrl.envs.schedule import Schedule, plain
from clrl.envs.told import MAX_EPISODE_STEPS, Reveals, ScoreName, Worlds, check_told
from clrl.envs.wrappers import OneTask


class TaskSequence(gym.Env):
    """Tasks one after the other, `steps_per_task` steps on each, in one environment.

    An observation is float32: the task's own numbers, then a one-hot of the task where the sequence
    reveals it (and has more than one). A task's last step truncates its episode, and the `reset()`
    after it returns the next task's first observation. After the sequence's last step `reset()`
    still returns an observation (an SB3 VecEnv resets by itself) and `step` raises.

    `reset(seed=s)` starts the sequence from its first task and fixes everything that follows: task
    k's environment is seeded once, at its first reset, with a number drawn from
    `np.random.SeedSequence(entropy=s, spawn_key=(k,))`. Only the current task's environment lives.

    Args:
        makers: one callable per task that makes its environment, a new one at every call. Box
            observations and actions of one axis, the same for all tasks.
        steps_per_task: steps spent on each task, one number or one per task.
        task_names: one name per task; "task-0", "task-1", ... if left out.
        reveals: what an agent is told: "task", the task at every step (the one-hot) and every
            change; "boundaries", the changes only; "nothing", so that it sees one endless task.
        score: what tables read of an episode: "success" (`info["success"]`) or "return".
        score_range: the scores between which a task is learned, (low, high), for a score that has
            no range of its own.
        name: what the sequence is called; "" leaves that to the worlds.
        worlds: whether all seeds have the "same" worlds, or each its own ("per_seed").
        max_episode_steps: where the episodes of a world without a time limit are truncated.

    Attributes:
        interleaved: whether tasks take turns (`InterleavedTasks`).
        identity: what each task's world says it is (`identity_of`).
        cut: tasks whose world has no time limit.
        schedule: where each task starts and ends.
        task: the current task's position.
        task_step: steps taken of the current task.
        sim_warnings: how many simulations have blown up (`info["sim_warning"]`).

    Raises:
        ValueError: if an argument is out of range, or the tasks' spaces differ.
    """

    interleaved: ClassVar[bool] = False

    def __init__(
        self,
        makers: Sequence[Callable[[], gym.Env]],
        steps_per_task: int | Sequence[int],
        task_names: Sequence[str] | None = None,
        *,
        reveals: Reveals = "task",
        score: ScoreName = "return",
        score_range: tuple[float, float] | None = None,
        name: str = "",
        worlds: Worlds = "same",
        max_episode_steps: int = MAX_EPISODE_STEPS,
    ) -> None:
        if callable(makers) or isinstance(makers, (str, Mapping, gym.Env)):
            raise ValueError(f"makers is {makers!r}; it must be a list of makers, one per task")
        self.makers = tuple(makers)
        if not self.makers:
            raise ValueError("makers must hold at least one task, got none")
        names = [f"task-{k}" for k in range(len(self.makers))] if task_names is None else task_names
        if len(names) != len(self.makers):
            raise ValueError(f"task_names must hold {len(self.makers)} names, got {len(names)}")
        self.schedule = Schedule(names, steps_per_task)
        check_told(reveals, score, score_range, name, worlds, max_episode_steps)
        self.reveals, self.score, self.score_range = reveals, score, score_range
        if score_range is not None:  # NumPy's numbers, too, as plain ones
            self.score_range = tuple(map(plain, score_range))
        self.name, self.worlds, self.max_episode_steps = name, worlds, int(max_episode_steps)
        self._look()
        self._begin(0)
        self.observation_space = self._env.observation_space
        self.action_space = self._env.action_space
        self.metadata = self._env.metadata
        self.render_mode = self._env.render_mode
        self.sim_warnings = 0
        self._sequence_seed: int | None = None

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return self.schedule.n_tasks

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return self.schedule.names

    @property
    def one_hot_size(self) -> int:
        """Length of an observation's one-hot; 0 without one."""
        return self.n_tasks if self.reveals == "task" and self.n_tasks > 1 else 0

    @property
    def told_task(self) -> int:
        """The current task as an agent may know it: 0 where it is told nothing."""
        return 0 if self.reveals == "nothing" else self.task

    @property
    def _budget(self) -> int:
        """Steps until the next change."""
        return self.schedule.lengths[self.task]

    def _look(self) -> None:
        """Make every task once (each maker once), because a switch is too late to find out."""
        seen: dict[Any, OneTask] = {}
        keys = [world_key(maker) for maker in self.makers]
        for task, key in enumerate(keys):
            if key in seen:
                continue
            env = seen[key] = self.make_task(task)
            env.close()
            first = seen[keys[0]]
            for field in ("observation_space", "action_space"):
                if (space := getattr(env.env, field)) != (expected := getattr(first.env, field)):
                    raise ValueError(
                        f"{field} of {self.called(task)} is {space}, but it must equal task 0's, "
                        f"{expected}"
                    )
        self.identity = tuple(identity_of(seen[key].env) for key in keys)
        self.cut = tuple(task for task, key in enumerate(keys) if seen[key].limit is not None)

    def _begin(self, task: int) -> None:
        """Make task `task`'s environment, not yet reset."""
        self.task = task
        self.task_step = 0
        self._env = self.make_task(task)
        self._fresh = True  # not seeded yet
        self._episode_running = False
        self._start: dict[str, Any] | None = None
        self._actions: list[np.ndarray] = []

    def make_task(self, task: int) -> OneTask:
        """Make task `task` alone, as the sequence shows it; for evaluation.

        Args:
            task: the task's position, 0 to n_tasks - 1.

        Returns:
            a new environment of its own, with the same observations and `info`.

        Raises:
            ValueError: if there is no such task.
        """
        if not 0 <= task < self.n_tasks:
            raise ValueError(f"task must be from 0 to {self.n_tasks - 1}, got {task}")
        where = self.called(task)
        env = make_world(self.makers[task], where)
        return OneTask(env, task, self.one_hot_size, where, self.max_episode_steps)

    def called(self, task: int) -> str:
        """Return what messages call a task."""
        return f"task {task} ({self.task_names[task]})"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode: of the next task if the current one's steps are used up.

        Args:
            seed: starts the whole sequence anew, from its first task; see the class.
            options: handed to the task's environment.

        Returns:
            the observation `[D]` and the task's info with `task` added.
        """
        if seed is not None or self._sequence_seed is None:
            super().reset(seed=seed)
            self._sequence_seed = _fresh_seed() if seed is None else seed
            self.sim_warnings = 0
            self._restart()
        else:
            self._advance()
        return self._reset_task(options)

    def _restart(self) -> None:
        self._switch(0)

    def _advance(self) -> None:
        """Go on to the next task if a reset is to show that one."""
        if self.task_step == self._budget and self.task < self.n_tasks - 1:
            self._switch(self.task + 1)

    def _switch(self, task: int) -> None:
        if self._fresh and task == self.task:
            return  # it is just made
        self._env.close()
        self._begin(task)

    def _reset_task(self, options: dict[str, Any] | None) -> tuple[np.ndarray, dict[str, Any]]:
        seed: int | None = None
        if self._fresh:
            seed = task_seed(self._sequence_seed or 0, self.task)
            self._start = {"seed": seed}
            self._fresh = False
        else:
            self._start = {"generator": generator_state(self._env)}
        self._actions = []
        self._episode_running = True
        observation, info = self._env.reset(seed=seed, options=options)
        self._observation = observation
        return observation, info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take a step of the current task; its last one truncates the episode.

        Args:
            action: `[A]`, cast to the action space's type.

        Returns:
            observation `[D]`, reward, terminated, truncated, info (see `EpisodeRecord.add`).

        Raises:
            RuntimeError: if the sequence's steps are used up, or the episode is over.
        """
        if not self._episode_running or self.task_step == self._budget:
            raise RuntimeError(self._why_no_step())
        action = np.array(action, dtype=self.action_space.dtype)  # own copy: kept for state()
        self._actions.append(action)
        self.task_step += 1
        last = self.task_step == self._budget
        result = self._env.step_of_sequence(action, last)
        self._observation = result[0]
        self.sim_warnings += bool(result[4].get("sim_warning"))
        if result[2] or result[3]:
            self._episode_running = False
        return result

    def _why_no_step(self) -> str:
        last_task = self.interleaved or self.task == self.n_tasks - 1
        if last_task and self.task_step == self._budget:
            return (
                f"the sequence is over: all {self.schedule.total} steps are used up; "
                "reset(seed=...) starts it anew"
            )
        return "no episode is running: call reset() first"

    def state(self) -> dict[str, Any]:
        """Return where the sequence stands, as plain JSON data.

        It holds the generator's state at the last reset and the actions since, not the
        simulator's own state: replayed in a new environment they give the same bits, which a saved
        physics state does not. It needs a task whose episode is a function of `np_random` at its
        reset and of the actions; `restore` checks that.

        Raises:
            RuntimeError: before the first reset.
        """
        if self._start is None or self._sequence_seed is None:
            raise RuntimeError("there is no state before the first reset()")
        return {
            "seed": self._sequence_seed,
            "task": self.task,
            "task_step": self.task_step,
            "sim_warnings": self.sim_warnings,
            "start": self._start,
            "actions": [action.tolist() for action in self._actions],
            "observation": self._observation.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> np.ndarray:
        """Continue from `state`: resets a new environment and replays the actions.

        Returns:
            the current observation `[D]`, bit for bit.

        Raises:
            ValueError: if the state does not fit this sequence, or its replay ends in another
                observation than was saved.
        """
        for field, largest in (("task", self.n_tasks - 1), ("task_step", self._budget)):
            if not 0 <= state[field] <= largest:
                raise ValueError(
                    f"the saved {field} must be from 0 to {largest}, got {state[field]}"
                )
        self._place(state)
        self._fresh = False
        self._sequence_seed = state["seed"]
        self._start = dict(state["start"])
        if "generator" in self._start:
            set_generator_state(self._env, self._start["generator"])
        self._observation, _ = self._env.reset(seed=self._start.get("seed"))
        self._episode_running = True
        self.task_step = state["task_step"] - len(state["actions"])
        for action in state["actions"]:
            self.step(action)
        self.sim_warnings = state["sim_warnings"]
        saved = np.array(state["observation"], dtype=np.float32)
        if self._observation.tobytes() != saved.tobytes():
            raise ValueError(
                f"{self.called(self.task)} cannot be restored: replaying its actions gave "
                "another observation than was saved. Its episodes must depend on np_random and the "
                "actions only"
            )
        return self._observation

    def _place(self, state: dict[str, Any]) -> None:
        """Make what a saved state needs, the current task's environment at least."""
        self._switch(state["task"])

    def render(self) -> Any:
        """Render the current task."""
        return self._env.render()

    def close(self) -> None:
        """Close the current task's environment."""
        self._env.close()


def task_seed(sequence_seed: int, task: int) -> int:
    """Return the seed of task `task`'s environment in a sequence seeded with `sequence_seed`."""
    sequence = np.random.SeedSequence(entropy=sequence_seed, spawn_key=(task,))
    return int(sequence.generate_state(1)[0])


def _fresh_seed() -> int:
    """Return a seed from the operating system, for a sequence nobody seeded."""
    return int(np.random.SeedSequence().generate_state(1)[0])
