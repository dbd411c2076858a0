"""What a network predicts: a Gaussian over actions, or probabilities of classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian policy before squashing.

    Attributes:
        mean: [S, B, A].
        std: [S, B, A].
        squash: whether actions are tanh of its samples.
    """

    mean: Tensor
    std: Tensor
    squash: bool = False


@dataclass(frozen=True)
class Categorical:
    """Class probabilities, given by logits [S, B, classes]."""

    logits: Tensor
