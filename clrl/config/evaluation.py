"""When and how tasks are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from clrl.agents.settings.fields import check_fields, number
from clrl.config.scores import window
from clrl.envs.schedule import Schedule

SIMULATORS = 24
"""The most simulators of one task alive at a time; one of Meta-World takes about 25 MB."""
KEPT = 80
"""The most simulators of all tasks kept between evaluations, because making one takes 0.1 s."""


def together(n_tasks: int) -> int:
    """Return how many simulators of one task play at the same time, in a run of so many tasks."""
    return max(2, min(SIMULATORS, KEPT // n_tasks))


@dataclass(frozen=True)
class Evaluation:
    """When tasks are evaluated and with how many episodes; the defaults are Continual World's.

    Attributes:
        evals_per_task: evaluations within each task, evenly spaced, the last one at its end.
        stochastic_episodes: episodes with the policy's noise; the metrics use these.
        deterministic_episodes: episodes with the policy's mean action.
        tasks: "all" at every evaluation; "economical": the current task, and all tasks only at
            the evaluations that are averaged at the run's end (a tenth of a task's, at least one),
            which is all that P, F and FT read. Where tasks are interleaved there is no current
            task: only those are left.
        stop_at_success: end an episode at its first success; returns are then not recorded.
    """

    evals_per_task: int = number(50, least=1)
    stochastic_episodes: int = number(10, least=0)
    deterministic_episodes: int = number(1, least=0)
    tasks: Annotated[Literal["all", "economical"], tyro.conf.arg(name="evaluate")] = "all"
    stop_at_success: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        if self.episodes < 1:
            raise ValueError(
                f"stochastic_episodes is {self.stochastic_episodes} and deterministic_episodes "
                f"{self.deterministic_episodes}; they must not both be 0"
            )

    @property
    def episodes(self) -> int:
        """Episodes of one task and seed in one evaluation."""
        return self.stochastic_episodes + self.deterministic_episodes

    def due(self, step: int, schedule: Schedule, interleaved: bool = False) -> list[int]:
        """Return the tasks to evaluate after a step of the sequence, [] between evaluations.

        Raises:
            ValueError: `evals_per_task` does not divide the steps of every task.
        """
        steps = schedule.evaluations(self.evals_per_task)
        if step not in steps:
            return []
        left = len(steps) - 1 - steps.index(step)
        if self.tasks == "all" or left < window(self.evals_per_task):
            return list(range(schedule.n_tasks))
        return [] if interleaved else [schedule.task_at(step)]
