"""When a learner's tasks start and end."""

from __future__ import annotations

from abc import abstractmethod

from clrl.agents.state import HasState


class Tasks(HasState):
    """Which task a learner is in, and which have ended. A task may come back.

    Attributes:
        n_tasks: tasks whose start and end the learner is told of.
        task: position of the current task among them.
        task_step: steps taken since it started.
        task_open: whether it has started and not ended.
        ended: tasks that have ended, by their first end; a task that comes back stays among them.
        interleaved: whether tasks take turns; all together are then task 0.
    """

    n_tasks: int
    task: int
    task_step: int = 0
    task_open: bool = False
    interleaved: bool = False

    @abstractmethod
    def reset_for_task(self) -> None:
        """Forget what the settings say belongs to the old task."""

    def start_task(self, task: int) -> None:
        """Begin a task, for the first time or again: resets, then the method's `on_task_start`.

        Raises:
            ValueError: another task has not ended; there is no such task; the method cannot learn
                it, or not again; the learner was given what acting needs and nothing else.
        """
        if self.acts_only:
            raise ValueError(
                "the policy is from a snapshot, which holds what acting needs, but no critics, "
                "optimizers, data or examples of old tasks; to train on, load an agent that "
                "`save` wrote"
            )
        if self.task_open:
            raise ValueError(
                f"task {task} cannot start: task {self.task} has not ended; call end_task() first"
            )
        if not 0 <= task < self.n_tasks:
            raise ValueError(f"task is {task}; allowed are 0 to {self.n_tasks - 1} (n_tasks)")
        self.method.check_start(int(task))
        self.on_start(int(task))

    def end_task(self) -> None:
        """End the current task: the method's `on_task_end`.

        Raises:
            ValueError: it has ended already.
        """
        if self.ended and not self.task_open:
            raise ValueError(
                f"task {self.task} has ended already; learn() or start_task() starts the next one"
            )
        self.on_end()
        self.ended = list(dict.fromkeys([*self.ended, self.task]))
        self.task_open = False

    def on_start(self, task: int) -> None:
        """Reset what the settings say, then call the method's `on_task_start`."""
        if self.task_step > 0:  # num_timesteps may have been set back
            self.reset_for_task()
        self.task, self.task_step, self.task_open = task, 0, True
        self.method.on_task_start(task)

    def on_end(self) -> None:
        """Call the method's `on_task_end`, the task's data still there."""
        self.method.on_task_end(self.task)
