"""Tasks in turn, an episode each: the order of multi-task training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium as gym

from clrl.envs.contract.generators import generator_state, set_generator_state
from clrl.envs.sequence import TaskSequence
from clrl.envs.wrappers import OneTask


class InterleavedTasks(TaskSequence):
    """Tasks in turn, an episode each, in one environment.

    Differs from `TaskSequence` in that every `reset()` goes on to the next task, and in that the
    steps of all tasks are spent on all of them together: only the last of them truncates an
    episode, and a task whose episodes end early gets less than `steps_per_task`. The first episode
    is task 1's (the only task's where there is one), because Continual World's multi-task
    environment moves on before its first reset, too (continualworld/envs.py, MultiTaskEnv).

    Every task's environment is made at its first turn and then stays alive: 25 MB each in
    Meta-World.

    Args:
        makers, steps_per_task, task_names: see `TaskSequence`.
        **told: its keywords.

    Attributes:
        task: the task of the current episode.
        task_step: steps taken of all tasks.
    """

    interleaved: ClassVar[bool] = True

    def __init__(
        self,
        makers: Sequence[Callable[[], gym.Env]],
        steps_per_task: int | Sequence[int],
        task_names: Sequence[str] | None = None,
        **told: Any,
    ) -> None:
        if told.get("reveals") == "boundaries":
            raise ValueError(
                "reveals is 'boundaries', but interleaved tasks have none; give 'task' or 'nothing'"
            )
        super().__init__(makers, steps_per_task, task_names, **told)
        self._env.close()  # it has shown its spaces
        self._envs: dict[int, OneTask] = {}

    @property
    def _budget(self) -> int:
        """All steps: the tasks share them."""
        return self.schedule.total

    def _restart(self) -> None:
        self.close()
        self.task, self.task_step = 0, 0
        self._advance()

    def _advance(self) -> None:
        self._give_turn((self.task + 1) % self.n_tasks)

    def _give_turn(self, task: int) -> None:
        self._fresh = task not in self._envs
        if self._fresh:
            self._envs[task] = self.make_task(task)
        self.task, self._env = task, self._envs[task]
        self._episode_running = False
        self._actions = []

    def state(self) -> dict[str, Any]:
        """Return where the tasks stand; see `TaskSequence.state`.

        Besides the current episode it holds the generators of the other tasks (None for one that
        has not had a turn), from which their next episodes spring.
        """
        generators: list[Any] = [None] * self.n_tasks
        for task, env in self._envs.items():
            if task != self.task:
                generators[task] = generator_state(env)
        return {**super().state(), "generators": generators}

    def _place(self, state: dict[str, Any]) -> None:
        generators = state.get("generators", [])
        if len(generators) != self.n_tasks:
            raise ValueError(
                f"the saved state has the generators of {len(generators)} tasks; needed are those "
                f"of {self.n_tasks} interleaved tasks"
            )
        self.close()
        for task, generator in enumerate(generators):
            if generator is not None:
                self._envs[task] = self.make_task(task)
                set_generator_state(self._envs[task], generator)
        self._give_turn(state["task"])

    def close(self) -> None:
        """Close every task's environment."""
        for env in self._envs.values():
            env.close()
        self._envs = {}
