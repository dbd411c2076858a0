"""Cloning of old policies, alone and as ClonEx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from clrl.agents import memory
from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method
from clrl.agents.networks.distributions import Categorical, Gaussian
from clrl.agents.randomness import METHOD
from clrl.agents.settings.fields import number

OUTPUT = "output."
"""Start of the names under which a memory keeps what the network said of its examples."""


@dataclass
class Cloning(Method):
    """Cloning of old policies (Wolczyk et al. 2022, arXiv 2209.13900).

    Examples of every finished task are kept with what the network predicted for them when the task
    ended: the Gaussian of the action before squashing, or logits. From the second task on

        coef * mean over a batch of them of KL(old prediction || prediction)

    is added to the loss. Critics are not cloned, as in the paper's scripts for CW20. The authors'
    code adds 1e-6 to both standard deviations and halves the sum of the two gradients, to which
    Adam is blind up to its epsilon; here neither is done. Examples are drawn when a task ends, not
    when the next one starts. A task that comes back is held to its own old policy, too, until new
    examples and predictions take the place of the old ones at its end.
    """

    paper: ClassVar[str] = "Wolczyk et al. 2022, arXiv 2209.13900"
    update_factor: ClassVar[float] = 1.2

    coef: float = number(100.0, least=0)
    """Strength of the penalty (the authors' runs on CW20: 100, of 10, 100 and 1000; COOM: 100)."""
    memory_per_task: int = number(10_000, above=0)
    """Examples kept of every task, drawn with replacement (the authors' runs on CW20: 10,000)."""
    memory_batch_size: int = number(128, above=0)
    """Examples per update, drawn without replacement (the authors' runs on CW20: 128)."""

    def memory_rows(self, n_tasks: int) -> int:
        """Return the examples of so many tasks."""
        return self.memory_per_task * n_tasks

    def attach(self, learner: Learner) -> None:
        """Start without examples."""
        super().attach(learner)
        self._examples: tuple[Any, dict[str, Tensor]] | None = None

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set what was learned."""
        super().load_state(state)
        self._examples = None

    def on_task_end(self, task: int) -> None:
        """Keep examples of the task and what the network says of them, in place of older ones."""
        batch = self.learner.sample(self.memory_per_task, METHOD, task)
        with torch.no_grad():
            predicted = outputs(self.learner.output_distributions(batch))
        named = {OUTPUT + name: values for name, values in predicted.items()}
        memory.remember(self.state, self.learner.rows_of(batch) | named, task)

    def mix(self, batch: Any) -> Any:
        """Draw the examples that the penalty is taken on; the batch stays as it is."""
        if self.coef == 0 or memory.size(self.state) == 0:
            return batch
        rows = memory.draw(self.state, self.memory_batch_size, self.learner.generators(METHOD))
        names = [name for name in rows if name.startswith(OUTPUT)]
        old = {name.removeprefix(OUTPUT): rows.pop(name) for name in names}
        self._examples = self.learner.batch_of(rows, METHOD), old
        return batch

    def penalty(self) -> Tensor | None:
        """Return the penalty of each seed, [S]; None in the first task."""
        if self._examples is None:
            return None
        batch, old = self._examples
        new = outputs(self.learner.output_distributions(batch))
        return self.coef * divergence(old, new).mean(-1)


@dataclass
class ClonEx(Cloning):
    """ClonEx-SAC (Wolczyk et al. 2022, arXiv 2209.13900): cloning, and exploration with old heads.

    A task starts with episodes in which the heads of old tasks act, each for one and then the one
    with the best mean return (`exploration = "best_return"` of SAC), instead of random actions. Of
    a task that comes back its own head is one of them.
    """

    uses_task_id: ClassVar[bool] = True
    learner_defaults: ClassVar[dict[str, dict[str, Any]]] = {"sac": {"exploration": "best_return"}}
    refused: ClassVar[dict[str, str]] = {
        name: "its exploration replaces the random actions that SAC starts a task with, and "
        f"{has} starts none so; use cloning"
        for name, has in (("ppo", "PPO"), ("classifier", "the classifier"))
    }


def outputs(distribution: Gaussian | Categorical) -> dict[str, Tensor]:
    """Return the tensors [S, B, ...] that describe a prediction."""
    if isinstance(distribution, Categorical):
        return {"logits": distribution.logits}
    return {"mean": distribution.mean, "std": distribution.std}


def divergence(old: dict[str, Tensor], new: dict[str, Tensor]) -> Tensor:
    """Return KL(old || new) of predictions given by `outputs`, for each row: [S, B]."""
    if "logits" in old:
        before, after = old["logits"].log_softmax(-1), new["logits"].log_softmax(-1)
        return (before.exp() * (before - after)).sum(-1)
    log_ratio = (new["std"] / old["std"]).log()
    distance = old["std"].square() + (old["mean"] - new["mean"]).square()
    return (log_ratio + distance / (2.0 * new["std"].square()) - 0.5).sum(-1)
