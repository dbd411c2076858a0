"""Variational continual learning."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from clrl.agents.learner import Learner
from clrl.agents.methods.base import Method, laid_out_like
from clrl.agents.networks.bayesian import BayesianLinear, kl_divergence
from clrl.agents.networks.layers import SeedLayerNorm, SeedLinear
from clrl.agents.randomness import EVALUATION, METHOD
from clrl.agents.settings.fields import number


@dataclass
class VCL(Method):
    """Variational continual learning (Nguyen et al. 2018, arXiv 1710.10628), without coresets.

    Weights and biases of the policy (or the classifier) are independent Gaussians, drawn anew at
    every forward pass. The loss has coef * KL(weights || prior) added. The prior is N(0, 1) at
    first; when a task ends, what was learned becomes the prior of the layers that all tasks share.
    Heads of single tasks have no KL. Layer norm, which has no distribution, is frozen after the
    first task. For a task that comes back the prior is the last posterior, as for any other.

    As in Continual World (continualworld/methods/vcl.py) the KL is summed over weights and not
    divided by the number of examples, the first task has none by default, and critics are ordinary.
    What differs: deterministic actions use the means of the weights, where the original draws them
    (parity "original" does); the prior moves when a task ends, not when the next one starts (the
    weights are the same); episodes evaluated side by side share the weights drawn for each step.
    """

    paper: ClassVar[str] = "Nguyen et al. 2018, arXiv 1710.10628"
    freezes: ClassVar[bool] = True
    noisy_weights: ClassVar[bool] = True
    copies: ClassVar[int] = 6  # the prior's means and variances; variances, gradients, moments
    update_factor: ClassVar[float] = 1.7

    coef: float = number(1.0, least=0)
    """Strength of the KL penalty (Continual World, CW20: 1)."""
    initial_log_variance: float = -6.0
    """Log variance of every weight at the start (Continual World: -6, a deviation of 0.05)."""
    first_task_kl: bool = False
    """Add the KL to N(0, 1) in the first task, and that of the current head always (CW20: off)."""

    def attach(self, learner: Learner) -> None:
        """Make every linear layer of the network Bayesian; its weights become the means."""
        super().attach(learner)
        self._role: int | None = METHOD
        network = learner.network()
        self._device = next(network.parameters()).device
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, SeedLinear):
                    bayesian = BayesianLinear(child, self.initial_log_variance, self._noise)
                    setattr(module, name, bayesian)

    def penalty(self) -> Tensor | None:
        """Return the penalty of each seed, [S]; None in the first task, unless asked for."""
        if not self.state and not self.first_task_kl:
            return None
        terms, shared, prior = [], self.learner.protected_parameters(), self.state
        zero = torch.zeros((), device=self._device)
        for name, (mean, rho) in self._gaussians().items():
            if name in shared:
                before = prior.get(f"prior.{name}", zero), prior.get(f"prior.{name}_rho", zero)
                terms.append(kl_divergence(mean, rho, *before))
            elif self.first_task_kl:
                terms.append(kl_divergence(self._head(mean), self._head(rho), zero, zero))
        return self.coef * torch.stack(terms, dim=1).sum(1)

    def adjust_gradients(self) -> None:
        """Zero the gradients of layer norm from the second task on."""
        if self.state:
            gradients = self.learner.gradients()
            for name in self._norms():
                gradients[name].zero_()

    def on_task_end(self, task: int) -> None:
        """Make what was learned the prior; freeze layer norm."""
        shared = self.learner.protected_parameters()
        for name, (mean, rho) in self._gaussians().items():
            if name in shared:
                self.state[f"prior.{name}"] = mean.detach().clone()
                self.state[f"prior.{name}_rho"] = rho.detach().clone()
        moments = self.learner.optimizers[self.learner.protected_part].tensors()
        for name in self._norms():  # with moments it would move without a gradient
            moments[f"exp_avg.{name}"].zero_()
            moments[f"exp_avg_sq.{name}"].zero_()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set the prior."""
        parameters = dict(self.learner.network().named_parameters())
        super().load_state(
            {key: laid_out_like(parameters[key.split(".", 1)[1]], t) for key, t in state.items()}
        )

    def report(self) -> dict[str, Tensor]:
        """Return the mean standard deviation of the weights that all tasks share, [S]."""
        shared = self.learner.protected_parameters()
        rhos = [rho.detach() for name, (_, rho) in self._gaussians().items() if name in shared]
        deviations = [torch.exp(0.5 * rho) for rho in rhos]
        n_seeds = self.learner.n_seeds
        sums = [torch.stack([d[s].sum() for d in deviations]).sum() for s in range(n_seeds)]
        return {"sigma": torch.stack(sums) / sum(d[0].numel() for d in deviations)}

    @contextlib.contextmanager
    def acting(self, deterministic: bool) -> Iterator[None]:
        """Use the means for deterministic actions; draw for others (parity "original": always)."""
        before = self._role
        means = deterministic and self.learner.parity == "clean"
        self._role = None if means else EVALUATION
        try:
            yield
        finally:
            self._role = before

    @contextlib.contextmanager
    def evaluating(self, task: int) -> Iterator[None]:
        """Use the weights of deterministic actions, unless `acting` says otherwise."""
        with self.acting(deterministic=True):
            yield

    def _noise(self, shape: tuple[int, int]) -> Tensor | None:
        """Return noise [S, *shape] for a Bayesian layer; None for its means."""
        if self._role is None:
            return None
        return torch.from_numpy(self.learner.streams.normal(self._role, shape)).to(self._device)

    def _gaussians(self) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
        """Return mean and log variance of every Bayesian weight and bias, by the mean's name."""
        named = dict(self.learner.network().named_parameters())
        return {n: (mean, named[f"{n}_rho"]) for n, mean in named.items() if f"{n}_rho" in named}

    def _head(self, values: Tensor) -> Tensor:
        """Return the current task's rows of a multi-head layer."""
        heads = self.learner.network().heads
        return values.unflatten(1, (heads, -1))[:, self.learner.task]

    def _norms(self) -> list[str]:
        """Return the names of layer norm's parameters."""
        modules = self.learner.network().named_modules()
        norms = [name for name, module in modules if isinstance(module, SeedLayerNorm)]
        return [f"{name}.{part}" for name in norms for part in ("weight", "bias")]
