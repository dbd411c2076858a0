"""Settings of the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from clrl.agents.settings.base import LearnerSettings, dense
from clrl.agents.settings.fields import number


@dataclass(frozen=True)
class ClassifierSettings(LearnerSettings):
    """Settings of the classifier."""

    name: ClassVar[str] = "classifier"
    no_turns: ClassVar[str] = "its stream has no episodes that could take turns"
    passes: ClassVar[int] = 3

    learning_rate: float = number(1e-3, above=0)
    """Adam's learning rate."""
    batch_size: int = number(64, above=0)
    """Examples per update and seed."""
    hidden_sizes: tuple[int, ...] = number((32, 32), above=0)
    """Widths of the hidden layers."""
    layer_norm: bool = True
    """Layer norm and tanh after the first layer, as in the networks of SAC."""
    multi_head: bool = True
    """One output head per task."""
    reset_optimizer: bool = True
    """Start with a fresh optimizer when the task changes."""
    replay: Literal["task", "all"] = "task"
    """Train on the current task's examples, or on those of all tasks seen."""

    def row_bytes(self, observation: int, action: int) -> int:
        """Return an example in float32, its label and its task; `action` are the classes."""
        return 4 * observation + 8 + 1

    def rows_stored(self, lengths: Sequence[int], one_store: bool) -> int:
        """Return 0: examples belong to the world."""
        return 0

    def updates(self, lengths: Sequence[int], one_task: bool) -> int:
        """Return the updates of a seed: one a step."""
        return sum(lengths)

    def network_numbers(self, observation: int, action: int, n_ids: int) -> tuple[int, int]:
        """Return the numbers of the network, and with gradients and moments; `action`: classes."""
        core = dense((observation, *self.hidden_sizes)) + 2 * self.hidden_sizes[0] * self.layer_norm
        network = core + dense((self.hidden_sizes[-1], action * self.heads(n_ids)))
        return network, 4 * network
