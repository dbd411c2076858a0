"""PackNet: every task owns a part of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method, laid_out_like
from clrl.agents.randomness import METHOD
from clrl.agents.settings.fields import number
from clrl.agents.spaces import task_dtype


@dataclass
class PackNet(Method):
    """PackNet (Mallya & Lazebnik 2018, arXiv 1711.05769), as in Continual World.

    At the end of each task but the last, the largest of the task's weights are kept, so that every
    task gets an equal share of each weight matrix; the others become 0 and belong to the next task.
    The kept ones are retrained, then frozen for ever. Biases and layer norm freeze after the first
    task. When a task is evaluated, weights of later tasks are 0. Tasks come by position, each once:
    one that comes back is refused, but for the last, which prunes nothing and goes on. Of a task
    that is left out the next one gets the weights.

    As in Continual World (continualworld/methods/packnet.py) freed weights start the next task at
    0, a matrix keeps one weight less than its share (those strictly above the threshold), critics
    are not masked, and the gradient norm is clipped at 2e-5. Adam being scale-free, that clip acts
    through its epsilon only: 1e-7 is part of the setting.
    """

    paper: ClassVar[str] = "Mallya & Lazebnik 2018, arXiv 1711.05769"
    copies: ClassVar[int] = 1  # the owners of all weights
    update_factor: ClassVar[float] = 1.05
    freezes: ClassVar[bool] = True
    in_order: ClassVar[bool] = True
    uses_task_id: ClassVar[bool] = True
    learner_defaults: ClassVar[dict[str, dict[str, Any]]] = {"sac": {"max_grad_norm": 2e-5}}

    retrain_steps: int = number(100_000, least=0, task_share=0.1)
    """Updates after pruning (Continual World: 100,000)."""

    def extra_updates(self, n_tasks: int) -> int:
        """Return those of retraining, after every task but the last."""
        return self.retrain_steps * (n_tasks - 1)

    def attach(self, learner: Learner) -> None:
        """Give all weights to the first task."""
        super().attach(learner)
        self._masks: dict[str, Tensor] = {}
        dtype = getattr(torch, task_dtype(learner.n_tasks).name)
        for name, kernel in self._kernels().items():
            self.state[f"owner.{name}"] = torch.zeros_like(kernel, dtype=dtype)
        device = next(learner.network().parameters()).device
        for name, kind in (("trainable", torch.int64), ("biases_frozen", torch.bool)):
            self.state[name] = torch.zeros(learner.n_seeds, dtype=kind, device=device)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set what was learned; the masks follow from it."""
        super().load_state(state)
        self._masks = self._make_masks()

    def on_task_start(self, task: int) -> None:
        """Train all that no finished task has kept."""
        # "trainable" is still the task before; its weights are free if it did not prune.
        first_free = (self.state["trainable"] + self.state["biases_frozen"]).view(-1, 1, 1)
        for owner in (self.state[f"owner.{name}"] for name in self._kernels()):
            owner.masked_fill_(owner >= first_free, task)
        self.state["trainable"].fill_(task)
        self._masks = self._make_masks()

    def on_task_end(self, task: int) -> None:
        """Prune and retrain; the last task keeps everything."""
        if task >= self.learner.n_tasks - 1:
            return
        self.state["biases_frozen"].fill_(True)
        for name, kernel in self._kernels().items():
            owner = self.state[f"owner.{name}"]
            for seed in range(self.learner.n_seeds):
                self._prune(kernel[seed], owner[seed], task)
        self._masks = self._make_masks()
        self.learner.reset_optimizers()
        for _ in range(self.retrain_steps):
            losses = self.learner.update(self.learner.sample(None, METHOD, task))
            self.learner.check_finite(losses)
        self.learner.reset_optimizers()

    def adjust_gradients(self) -> None:
        """Zero the gradients of what other tasks own, and of frozen biases."""
        if not self._masks:
            return
        for name, gradient in self.learner.gradients().items():
            if name in self._masks:
                gradient.mul_(self._masks[name])

    @contextlib.contextmanager
    def evaluating(self, task: int) -> Iterator[None]:
        """Zero the weights of later tasks, and put them back."""
        hidden = []
        for name, kernel in self._kernels().items():
            later = self.state[f"owner.{name}"] > task
            if later.any():
                hidden.append((kernel, kernel.detach().clone()))
                kernel.data.masked_fill_(later, 0.0)
        try:
            yield
        finally:
            for kernel, values in hidden:
                kernel.data.copy_(values)

    def report(self) -> dict[str, Tensor]:
        """Return the share of the weights that no task has kept yet, [S]."""
        owners = [o for name, o in self.state.items() if name.startswith("owner.")]
        current = self.state["trainable"].view(-1, 1)
        free = torch.stack([(o.flatten(1) >= current).sum(1) for o in owners]).sum(0)
        return {"free": free / sum(o[0].numel() for o in owners)}

    def _kernels(self) -> dict[str, nn.Parameter]:
        """Return the weight matrices that tasks share."""
        parameters = self.learner.protected_parameters().items()
        return {name: p for name, p in parameters if p.dim() == 3}

    def _prune(self, kernel: Tensor, owner: Tensor, task: int) -> None:
        """Keep this seed's largest weights of a matrix; give the others to the next task."""
        mine = owner == task
        size, tasks_left = int(mine.sum()), self.learner.n_tasks - task
        if size == 0:
            return
        magnitude = kernel.detach().abs()
        threshold = magnitude[mine].sort().values[size * (tasks_left - 1) // tasks_left]
        freed = mine & (magnitude <= threshold)
        kernel.data.masked_fill_(freed, 0.0)
        owner.masked_fill_(freed, task + 1)

    def _make_masks(self) -> dict[str, Tensor]:
        """Return 1 for what the current task trains, else 0; nothing while it owns all there is.

        Made when a task starts and not in an update, which on a GPU would have to wait for it.
        """
        if not self.state["biases_frozen"].any():
            return {}
        trainable = self.state["trainable"].view(-1, 1, 1)
        masks = {}
        for name, parameter in self.learner.protected_parameters().items():
            owner = self.state.get(f"owner.{name}")
            mine = torch.zeros_like(parameter) if owner is None else owner == trainable
            masks[name] = laid_out_like(parameter, mine.to(parameter.dtype))
        return masks
