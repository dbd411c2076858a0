"""Synaptic intelligence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clrl.agents.methods.quadratic import QuadraticPenalty
from clrl.agents.settings.fields import number


@dataclass
class SI(QuadraticPenalty):
    """Synaptic intelligence (Zenke et al. 2017, arXiv 1703.04200).

    A parameter is as important as its way through the task lowered the loss. Every update adds
    -gradient * displacement to its path integral omega, with the gradient of the learner's own loss
    (without penalty, before clipping) and the displacement that the optimizer really made. At the
    end of a task importance <- relu(importance + omega / (way^2 + xi)), with `way` from start to
    end of the task; the relu of the sum is that of the authors' code (pathint/protocols.py), where
    the paper has none. With SAC the loss is the actor's.

    Keeps three numbers per protected parameter: omega, importance, anchor. A task that comes back
    starts a new path, whose importance is added to what there is.
    """

    paper: ClassVar[str] = "Zenke et al. 2017, arXiv 1703.04200"
    copies: ClassVar[int] = 3  # omega, importance, anchor

    coef: float = number(0.1, least=0)
    """Strength of the penalty (Zenke et al., permuted MNIST: c = 0.1)."""
    xi: float = number(0.1, above=0)
    """Damping of the division by the squared way (Zenke et al., permuted MNIST: 0.1; split
    CIFAR: 1e-3)."""

    def on_task_start(self, task: int) -> None:
        """Start the path; before the first task also set the anchor, from where the way counts."""
        for name, parameter in self.protected.items():
            self.state.setdefault(f"anchor.{name}", parameter.detach().clone())
            self.state[f"omega.{name}"] = torch.zeros_like(parameter)
        self._forget_derived()

    @torch.no_grad()
    def adjust_gradients(self) -> None:
        """Note the gradient of the learner's own loss and where the parameters are."""
        gradients = self.learner.gradients()
        self._gradients = tuple(gradients[name].clone() for name in self.protected)
        self._before = tuple(parameter.clone() for parameter in self.protected.values())
        super().adjust_gradients()

    @torch.no_grad()
    def after_step(self) -> None:
        """Add this step's part to the path integral."""
        ways = torch._foreach_sub(tuple(self.protected.values()), self._before)
        torch._foreach_addcmul_(self.of_kind("omega"), self._gradients, ways, value=-1.0)

    def importance(self, task: int) -> dict[str, Tensor]:
        """Return the loss that each parameter's way saved, per squared way."""
        found = {}
        for name, parameter in self.protected.items():
            way = parameter.detach() - self.state[f"anchor.{name}"]
            found[name] = self.state[f"omega.{name}"] / (way.square() + self.xi)
        return found

    def merge(self, old: Tensor, new: Tensor) -> Tensor:
        """Sum over tasks; importances are not negative."""
        return (old + new).relu()
