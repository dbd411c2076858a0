"""What the loop needs of a learner, and how agents and the classifier offer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from clrl.agents.agent import Agent
from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.config.evaluation import Evaluation
from clrl.envs.schedule import Schedule
from clrl.envs.sequence import TaskSequence
from clrl.envs.vector import SeedVecEnv
from clrl.run.evaluator import Row, evaluate
from clrl.run.simulators import Simulators

Infos = Sequence[dict[str, Any]]
Watch = Callable[[Infos], bool]
"""Called after every step with the info of each seed's environment, if there are any; False ends
the call of `learn` after the step."""


class Trainable(Protocol):
    """A learner with its worlds. A step is an environment step or, supervised, an update.

    Everything but the worlds' own randomness is in `state_dict`: a fresh one that is given it goes
    on bit for bit.
    """

    @property
    def learner(self) -> Learner:
        """What is trained."""

    @property
    def sequences(self) -> Sequence[TaskSequence]:
        """The worlds of each seed; () of a stream."""

    @property
    def num_timesteps(self) -> int:
        """Steps taken, of each seed."""

    def learn(self, steps: int, watch: Watch) -> None:
        """Take steps."""

    def start_task(self, task: int) -> None:
        """Begin the task whose first step is next."""

    def end_task(self) -> None:
        """End the current task."""

    def state_dict(self) -> dict[str, Any]:
        """Return {"tensors": {name: tensor}, "json": {...}}; good until the next step."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""

    def policy_state(self) -> dict[str, Tensor]:
        """Return what acting needs."""

    def load_policy_state(self, tensors: dict[str, Tensor]) -> None:
        """Set what acting needs."""

    def evaluate(
        self, tasks: Sequence[int], step: int, how: Evaluation, unseen: bool = False
    ) -> list[Row]:
        """Return rows of `metrics.jsonl` without `seq`; see `clrl.run.evaluator.evaluate`."""

    def close(self) -> None:
        """Close the worlds."""


class _Learning:
    """What agents and the classifier have in common: the learner does it."""

    learner: Any

    @property
    def sequences(self) -> Sequence[TaskSequence]:
        """The worlds of each seed; () of a stream."""
        return ()

    @property
    def num_timesteps(self) -> int:
        """Steps taken, of each seed."""
        return int(self.learner.num_timesteps)

    def start_task(self, task: int) -> None:
        """Begin the task whose first step is next."""
        self.learner.start_task(task)

    def end_task(self) -> None:
        """End the current task."""
        self.learner.end_task()

    def policy_state(self) -> dict[str, Tensor]:
        """Return what acting needs."""
        tensors: dict[str, Tensor] = self.learner.policy_state()
        return tensors

    def load_policy_state(self, tensors: dict[str, Tensor]) -> None:
        """Set what acting needs."""
        self.learner.load_policy_state(tensors)


class AgentOnWorlds(_Learning):
    """An agent with a sequence of worlds for each of its seeds.

    Args:
        agent: its environments are a `SeedVecEnv` of `TaskSequence`s.

    Raises:
        ValueError: they are not, or tasks take turns and the method is not for that (or the other
            way round).
    """

    def __init__(self, agent: Agent) -> None:
        self.learner: Agent = agent
        self.env = worlds_of(agent)
        self.simulators = Simulators(self.sequences)

    @property
    def sequences(self) -> Sequence[TaskSequence]:
        """The worlds of each seed."""
        return self.env.envs  # type: ignore[return-value]

    def learn(self, steps: int, watch: Watch) -> None:
        """Take environment steps of every seed."""
        self.learner.learn(steps, callback=_Watching(watch), reset_num_timesteps=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the agent's state with that of its environments; buffers are views."""
        state = self.learner.state_dict(copy_data=False)
        state["json"]["environments"] = self.env.states()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, the environments in the middle of their episodes."""
        self.learner.load_state_dict(state)
        self.env.restore(state["json"]["environments"])

    def evaluate(
        self, tasks: Sequence[int], step: int, how: Evaluation, unseen: bool = False
    ) -> list[Row]:
        """Play episodes of tasks, every seed in its own worlds."""
        return evaluate(self.learner, self.simulators, tasks, step, how, unseen)

    def close(self) -> None:
        """Close all environments."""
        self.simulators.close()
        self.env.close()


class ClassifierOnStream(_Learning):
    """A classifier with its stream.

    Args:
        classifier: the learner.
        schedule: the tasks' names, and the updates on each.
    """

    def __init__(self, classifier: Classifier, schedule: Schedule) -> None:
        self.learner: Classifier = classifier
        self.schedule = schedule

    def learn(self, steps: int, watch: Watch) -> None:
        """Take updates of every seed on the task that the schedule has next."""
        self.learner.show(self.schedule.task_at(self.num_timesteps + 1))
        self.learner.learn(steps, watch=lambda: watch(()))

    def state_dict(self) -> dict[str, Any]:
        """Return the classifier's state."""
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.learner.load_state_dict(state)

    def evaluate(
        self, tasks: Sequence[int], step: int, how: Evaluation, unseen: bool = False
    ) -> list[Row]:
        """Classify the test examples of tasks; a test set is always the same."""
        rows = []
        for task in tasks:
            for seed, accuracy in zip(
                self.learner.seeds, self.learner.accuracy(task).tolist(), strict=True
            ):
                rows.append({"step": step, "task": task, "task_name": self.schedule.names[task],
                             "seed": seed, "mode": "deterministic",
                             "episodes": self.learner.stream.examples, "accuracy": accuracy,
                             "success": None, "success_last": None, "return": None})  # fmt: skip
        return rows

    def close(self) -> None:
        """Do nothing: a stream holds no resources."""


class _Watching(BaseCallback):
    """Asks after every step whether to go on."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def _on_step(self) -> bool:
        return self.watch(self.locals["infos"])


def worlds_of(agent: Agent) -> SeedVecEnv:
    """Return an agent's environments.

    Raises:
        ValueError: they are not a `SeedVecEnv` of `TaskSequence`s, or of `InterleavedTasks` for a
            method that is interleaved.
    """
    env = agent.get_env()
    if not isinstance(env, SeedVecEnv) or not isinstance(env.envs[0], TaskSequence):
        raise ValueError(
            f"the agent's environments are {env}; needed is SeedVecEnv(makers, seeds) with one "
            "maker of a TaskSequence per seed"
        )
    sequence, method = env.envs[0], type(agent.method)
    if sequence.interleaved != method.interleaved:
        raise ValueError(
            f"the agent's environments are of {type(sequence).__name__}; the method "
            f"{method.__name__} needs "
            + ("InterleavedTasks" if method.interleaved else "a TaskSequence")
        )
    return env
