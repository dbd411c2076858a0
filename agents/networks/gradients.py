"""The gradients of losses and penalties: by compiled code where it is right, else by autograd."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clrl.agents.networks.adam import seed_norms
from clrl.agents.networks.layers import keeping_hidden
from clrl.agents.state import HasState


class Gradients(HasState):
    """A learner's losses, and what puts their gradients where its optimizers read them.

    Attributes: see `Learner`.
    """

    max_grad_norm: float | None = None

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network that methods act on (the policy, or the classifier)."""

    def protected_parameters(self) -> dict[str, nn.Parameter]:
        """Return what methods protect: the shared core, or with a single head the whole network.

        Keys are names in `flats[self.protected_part]`.
        """
        network = self.network()
        return {
            name: parameter
            for name, parameter in network.named_parameters()
            if getattr(network, "heads", 1) == 1 or not name.startswith("head.")
        }

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return {part: loss [S]}, a pure function of weights and batch.

        Each part's loss has gradients for that part's own parameters only.
        """

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of `network()`'s parameters, to be changed in place."""
        parameters = self.optimizers[self.protected_part].parameters
        return dict(zip(parameters.slots, (g for _, g in parameters.gradient_slots), strict=True))

    @property
    def compiled(self) -> bool:
        """Whether compiled code does what it can, sums per seed among it."""
        return False

    def engine(self, batch: Any = None) -> Any:
        """Return what computes gradients without autograd; None, where nothing does.

        Args:
            batch: that is to be computed.
        """
        return None

    def gradients_of(
        self,
        batch: Any,
        into: Mapping[str, Tensor] | None = None,
        hidden: dict[str, list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Put the gradients of the losses on a batch into every optimizer's `grad`.

        Compiled code does it where it is right (`agents/native`), else `losses` and autograd.

        Args:
            batch: from `prepare`.
            into: where the gradients go instead, {part: tensor like the optimizer's `grad`}; parts
                that are not named get none.
            hidden: gets the hidden layers' activations of each part's own pass (policy at s, value,
                each critic at (s, a)), from before any step: {part: [*lead, B, units] per layer}.
                Asking changes no bit.

        Returns:
            the losses {part: [S]}.
        """
        engine = self.engine(batch)
        if engine is not None:
            found: dict[str, Tensor] = engine.gradients_of(self, batch, into, hidden)
            return found
        with keeping_hidden(self.modules() if hidden is not None else {}) as passes:
            losses = self.losses(batch)
        if hidden is not None:
            hidden.update(passes)
        self.take_gradients(losses, into)
        return {name: loss.detach() for name, loss in losses.items()}

    def clip_gradients(self) -> None:
        """Clip the gradient norm of every part."""
        if self.max_grad_norm is not None:
            for optimizer in self.optimizers.values():
                optimizer.clip(self.max_grad_norm, self.compiled)

    def measure_gradients(self, penalty: Tensor | None) -> None:
        """Set `gradient_norms`, of the learner's own gradients and of a penalty's to come."""
        own = self.gradients()
        names = list(self.protected_parameters())
        gradients = {"gradient/rl": [own[name] for name in names]}
        if penalty is not None:
            pulls = self.method.penalty_gradients(penalty)
            gradients["gradient/penalty"] = list(pulls.values())
        self.gradient_norms = {k: seed_norms(g, self.compiled) for k, g in gradients.items()}

    def add_gradients(self, penalty: Tensor) -> None:
        """Add the gradients of a penalty with a graph, summed over seeds."""
        slots = [slot for o in self.optimizers.values() for slot in o.parameters.gradient_slots]
        pulls = torch.autograd.grad(
            penalty.sum(), [parameter for parameter, _ in slots], allow_unused=True
        )
        pairs = [
            (view, pull) for (_, view), pull in zip(slots, pulls, strict=True) if pull is not None
        ]
        torch._foreach_add_([view for view, _ in pairs], [pull for _, pull in pairs])

    def take_gradients(
        self, losses: dict[str, Tensor], into: Mapping[str, Tensor] | None = None
    ) -> None:
        """Put the gradients of losses, summed over seeds, into every `grad`, or into `into`."""
        parts = self.optimizers if into is None else into
        owners = {part: self.optimizers[part].parameters for part in parts}
        slots = [slot for owner in owners.values() for slot in owner.gradient_slots]
        parameters, views = [p for p, _ in slots], [view for _, view in slots]
        if into is not None:
            views = [v for part, owner in owners.items() for v in owner.views(into[part]).values()]
        if not parameters:
            return
        sources = [loss for loss in losses.values() if loss.requires_grad]
        gradients = torch.autograd.grad(
            sources, parameters, [torch.ones_like(loss) for loss in sources], materialize_grads=True
        )
        torch._foreach_copy_(views, gradients)
