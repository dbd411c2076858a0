"""A-GEM: never step against the old tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clrl.agents import memory
from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method
from clrl.agents.networks.adam import seed_dots
from clrl.agents.randomness import METHOD
from clrl.agents.settings.fields import number


@dataclass
class AGEM(Method):
    """Averaged gradient episodic memory (Chaudhry et al. 2019, arXiv 1812.00420).

    Examples of every finished task are kept. From the second task on the gradient g of each update
    is compared with the gradient r of the same losses on a batch of them: where the two point
    against each other, the part of g along r is taken out (their equation 11),
    g - (g . r / r . r) r.

    As in Continual World (continualworld/methods/agem.py) g and r are those of all networks
    together, for SAC actor and critics; the entropy coefficient's gradient stays as it is. Heads of
    old tasks move when g is changed. It differs in that examples are drawn when a task ends, not
    when the next one starts. A task that comes back is held to its own examples, too, until new
    ones take their place at its end.
    """

    paper: ClassVar[str] = "Chaudhry et al. 2019, arXiv 1812.00420"
    update_factor: ClassVar[float] = 2.1

    memory_per_task: int = number(10_000, above=0)
    """Examples kept of every task, drawn with replacement (Continual World: 10,000)."""
    memory_batch_size: int = number(128, above=0)
    """Examples that the gradient is compared on, drawn without replacement (Continual World:
    128)."""

    def memory_rows(self, n_tasks: int) -> int:
        """Return the examples of so many tasks."""
        return self.memory_per_task * n_tasks

    def attach(self, learner: Learner) -> None:
        """Start to count."""
        super().attach(learner)
        device = next(learner.network().parameters()).device
        for name in ("updates", "violations"):
            self.state[name] = torch.zeros(learner.n_seeds, dtype=torch.int64, device=device)

    def on_task_start(self, task: int) -> None:
        """Count anew."""
        self.state["updates"].zero_()
        self.state["violations"].zero_()

    def on_task_end(self, task: int) -> None:
        """Keep examples of the task, in place of those of an earlier end."""
        batch = self.learner.sample(self.memory_per_task, METHOD, task)
        memory.remember(self.state, self.learner.rows_of(batch), task)

    def adjust_gradients(self) -> None:
        """Take out of each seed's gradient what points against that of the old tasks."""
        if memory.size(self.state) == 0:
            return
        learner = self.learner
        rows = memory.draw(self.state, self.memory_batch_size, learner.generators(METHOD))
        parts = {part: learner.optimizers[part] for part in learner.network_parts}
        into = {part: torch.empty_like(optimizer.grad) for part, optimizer in parts.items()}
        learner.gradients_of(learner.batch_of(rows, METHOD), into)
        reference = [
            view for part, o in parts.items() for view in o.parameters.views(into[part]).values()
        ]
        gradients = [
            view for optimizer in parts.values() for _, view in optimizer.parameters.gradient_slots
        ]
        violated = project(gradients, reference, learner.compiled)
        self.state["updates"] += 1
        self.state["violations"] += violated

    def report(self) -> dict[str, Tensor]:
        """Return the share of the task's updates so far whose gradient was changed, [S]."""
        return {"violations": self.state["violations"] / self.state["updates"].clamp(min=1)}


def project(
    gradients: Sequence[Tensor], reference: Sequence[Tensor], compiled: bool = False
) -> Tensor:
    """Take out of each seed's gradient, in place, what points against the reference gradient.

    Args:
        gradients: parts [S, ...] of one gradient per seed.
        reference: the same parts of the other.
        compiled: whether compiled code adds up (`Learner.compiled`).

    Returns:
        whether it did, for each seed: [S]. The other seeds' gradients are not touched.
    """
    dots = seed_dots(gradients, reference, compiled)
    violated = dots < 0
    for s in violated.nonzero().flatten().tolist():
        # Seed by seed: a kernel over all of them would round by how many there are.
        own, other = ([part[s : s + 1] for part in parts] for parts in (gradients, reference))
        square = seed_dots(other, other, compiled).clamp(min=torch.finfo(torch.float32).tiny)
        share = float(dots[s] / square)
        torch._foreach_sub_(own, other, alpha=share)
    return violated
