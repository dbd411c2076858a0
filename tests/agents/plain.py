"""The networks again, plainly: one seed at a time, in float64, with torch's functions."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from clrl.agents.classifier import Classifier
from clrl.agents.learner import Learner
from clrl.envs.streams import ToyStream

Weights = dict[str, Tensor]


def weights_of(learner: Learner, part: str, *index: int) -> Weights:
    """Return one network's weights in float64, ready for gradients."""
    views = learner.flats[part].views(learner.flats[part].flat)
    return {
        name: view[index].detach().double().clone().requires_grad_(True)
        for name, view in views.items()
    }


def network(w: Weights, x: Tensor, tasks: list[int], outputs: int) -> Tensor:
    """Return [B, outputs]: each row through the core and its own task's head."""
    x = F.linear(x, w["core.layers.0.weight"], w["core.layers.0.bias"])
    x = F.layer_norm(x, x.shape[-1:], w["core.norm.weight"], w["core.norm.bias"], eps=1e-3)
    x = torch.tanh(x)
    x = F.leaky_relu(F.linear(x, w["core.layers.1.weight"], w["core.layers.1.bias"]), 0.2)
    heads = w["head.weight"].shape[0] // outputs
    rows = []
    for row, task in zip(x, tasks, strict=True):
        start = outputs * (task if heads > 1 else 0)
        weight, bias = w["head.weight"], w["head.bias"]
        rows.append(F.linear(row, weight[start : start + outputs], bias[start : start + outputs]))
    return torch.stack(rows)


def outputs_of(learner: Learner, w: dict[str, Tensor], x: Tensor, task: int) -> Tensor:
    """Return one row's outputs in float64."""
    return network(w, x[None], [task], learner.network().outputs)[0]  # type: ignore[arg-type]


def rows(learner: Learner, batch: Any, s: int) -> tuple[Tensor, list[int]]:
    x = (batch.inputs if isinstance(learner, Classifier) else batch.obs)[s].double()
    return x, [batch.task] * len(x) if isinstance(batch.task, int) else batch.task[s].tolist()


class ThreeClasses(ToyStream):
    """One class of three never occurs."""

    classes: ClassVar[int] = 3
