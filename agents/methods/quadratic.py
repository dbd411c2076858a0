"""The quadratic penalty that L2, EWC and their relatives share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method, laid_out_like
from clrl.agents.networks.adam import seed_dots
from clrl.agents.settings.fields import number

Tensors = tuple[Tensor, ...]
QUANTILES = {"q50": 0.5, "q99": 0.99, "max": 1.0}


@dataclass
class QuadraticPenalty(Method):
    """Pull the protected parameters to their values at the end of the last task.

    Adds coef * sum_j importance_j (theta_j - anchor_j)^2, from the second task on. As in Continual
    World (continualworld/methods/regularization.py) there is no 1/2, one anchor, and the
    importances of all finished tasks are summed; one that comes back counts at each of its ends.
    A subclass says how important each parameter is.
    """

    copies: ClassVar[int] = 2  # importance and anchor
    update_factor: ClassVar[float] = 1.05

    coef: float = number(1.0, least=0)
    """Strength of the penalty."""

    def attach(self, learner: Learner) -> None:
        """Get to know the parameters to protect."""
        super().attach(learner)
        self.protected = learner.protected_parameters()
        self._forget_derived()

    @abstractmethod
    def importance(self, task: int) -> dict[str, Tensor]:
        """Return the importance of every protected parameter for the task that just ended."""

    def merge(self, old: Tensor, new: Tensor) -> Tensor:
        """Combine the importance for all earlier tasks (0 at first) with that for the last one."""
        return old + new

    def term(self, task: int) -> str:
        """Return the suffix in `state` of importance and anchor that a finished task goes into."""
        return ""

    def on_task_end(self, task: int) -> None:
        """Measure importances and move the anchor."""
        importance, term = self.importance(task), self.term(task)
        for name, parameter in self.protected.items():
            key, new = f"importance{term}.{name}", laid_out_like(parameter, importance[name])
            old = self.state.get(key, torch.zeros_like(new))
            self.state[key] = self.merge(old, new)
            self.state[f"anchor{term}.{name}"] = parameter.detach().clone()
        self._forget_derived()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set what was learned."""
        names = {key: key.split(".", 1)[1] for key in state}
        super().load_state(
            {key: laid_out_like(self.protected[names[key]], t) for key, t in state.items()}
        )
        self._forget_derived()

    def _forget_derived(self) -> None:
        self._cached: list[tuple[Tensors, Tensors]] | None = None
        self._report: dict[str, Tensor] | None = None
        self._pull: Tensors = ()

    @torch.no_grad()
    def penalty(self) -> Tensor | None:
        """Return the penalty of each seed, [S], without a graph; None in the first task."""
        values: list[Tensor] = []
        for importance, anchor in self._terms():
            distance = torch._foreach_sub(tuple(self.protected.values()), anchor)
            pull = torch._foreach_mul(importance, distance)
            self._pull = torch._foreach_add(self._pull, pull) if values else pull
            values.append(seed_dots(pull, distance, self.learner.compiled))
        return self.coef * sum(values[1:], values[0]) if values else None

    def penalty_gradients(self, penalty: Tensor) -> dict[str, Tensor]:
        """Return 2 coef importance (theta - anchor) for every protected parameter."""
        pulls = zip(self.protected, self._pull, strict=True)
        return {name: 2.0 * self.coef * pull for name, pull in pulls}

    def adjust_gradients(self) -> None:
        """Add the penalty's gradient; through autograd it would cost twice as much."""
        if self._pull:
            gradients = self.learner.gradients()
            mine = [gradients[name] for name in self.protected]
            torch._foreach_add_(mine, self._pull, alpha=2.0 * self.coef)

    def report(self) -> dict[str, Tensor]:
        """Return median, 99 % quantile and maximum of the importances, each [S]."""
        if self._report is None:
            importances = [importance for importance, _ in self._terms()]
            sums = [sum(tensors[1:], tensors[0]) for tensors in zip(*importances, strict=True)]
            self._report = _quantiles(sums) if sums else {}
        return self._report

    def _terms(self) -> list[tuple[Tensors, Tensors]]:
        """Return importances and anchors, in the order of `protected`, of every term."""
        if self._cached is None:
            kinds = {key.split(".", 1)[0] for key in self.state}
            terms = [kind[len("importance") :] for kind in kinds if kind.startswith("importance")]
            self._cached = [
                (self.of_kind(f"importance{term}"), self.of_kind(f"anchor{term}"))
                for term in sorted(terms, key=lambda term: (len(term), term))
            ]
        return self._cached

    def of_kind(self, kind: str) -> Tensors:
        """Return what `state` has of a kind, for every protected parameter."""
        return tuple(self.state[f"{kind}.{name}"] for name in self.protected)


def _quantiles(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return quantiles over all tensors [S, ...] together, for each seed: {name: [S]}."""
    rows = []
    for seed in range(tensors[0].shape[0]):
        ordered = torch.cat([tensor[seed].flatten() for tensor in tensors]).sort().values
        rows.append(torch.stack([ordered[int(q * (len(ordered) - 1))] for q in QUANTILES.values()]))
    columns = torch.stack(rows).unbind(1)
    return {f"importance/{name}": c for name, c in zip(QUANTILES, columns, strict=True)}
