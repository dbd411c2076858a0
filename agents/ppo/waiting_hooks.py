"""The ends and starts of tasks that wait for the end of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clrl.agents.agent import Agent

if TYPE_CHECKING:
    from clrl.agents.ppo import ContinualPPO


class WaitingHooks:
    """What belongs to boundaries between tasks, and has not run yet.

    Rollouts do not stop at a task's end, nor at that of `learn()`. The hooks of a boundary
    therefore run at the first rollout end at or after it, after the updates on that rollout:
    `on_task_end(k)`, the resets, `on_task_start(k + 1)`. Until then the agent acts in the new task,
    with its head. The last task's `on_task_end` runs at once. If `n_steps` divides the steps of a
    task, no hook has to wait.

    Attributes:
        events: ["end" or "start", task], the first to run first. Saved states hold this list, so
            it is replaced and never changed.
    """

    def __init__(self) -> None:
        self.events: list[list[str | int]] = []

    def end_task(self, agent: ContinualPPO) -> None:
        """End the agent's task; of the last one, rows of an unfinished rollout can be sampled."""
        self.events = [*self.events, ["end", agent.task]]
        agent.task_open = False
        if agent.rollout.position == 0:
            self.run(agent)
        elif agent.task == agent.n_tasks - 1:
            agent.finish_rollout()
            self.run(agent)

    def start_task(self, agent: ContinualPPO, task: int) -> None:
        """Begin a task, in which the agent acts from now on."""
        self.events = [*self.events, ["start", task]]
        if agent.rollout.position == 0:
            self.run(agent)
        agent.task, agent.task_step, agent.task_open = task, 0, True

    def run(self, agent: ContinualPPO) -> None:
        """Run all that waits, in order, each with its own task as the agent's."""
        now = agent.task, agent.task_step, agent.task_open
        while self.events:
            event, task = self.events[0]
            agent.task = int(task)
            if event == "end":
                Agent.on_end(agent)  # PPO's own would let it wait again
            else:
                if agent.ended:  # each start resets, as hooks between two of them may train
                    agent.task_step = 1
                Agent.on_start(agent, agent.task)
            self.events = self.events[1:]
        agent.task, agent.task_step, agent.task_open = now
