"""A classifier for streams of supervised tasks; also the fast test bed of every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clrl.agents import randomness
from clrl.agents.adam import FlatParameters, SeedAdam
from clrl.agents.fields import check_value
from clrl.agents.learner import Categorical, Learner, Parity, task_ids
from clrl.agents.methods.base import Method
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.networks import HeadedNetwork
from clrl.agents.randomness import Streams
from clrl.agents.settings import ClassifierSettings, make_settings


@dataclass
class LabelledBatch:
    """Examples of one task.

    Attributes:
        inputs: [S, B, D].
        labels: [S, B].
        task: the task of all rows, or task ids [S, B].
    """

    inputs: Tensor
    labels: Tensor
    task: int | Tensor


@dataclass(frozen=True)
class ToyStream:
    """Tasks that one small network can learn each, and all: labels by a random quadratic rule.

    Task k of a seed draws inputs from a standard normal, and the label is the sign of
    x^T A x + b^T x with A and b drawn for that task and seed.

    Args:
        n_tasks: number of tasks.
        dim: width of the inputs.
        examples: examples per task, and as many for testing.
    """

    n_tasks: int = 2
    dim: int = 8
    examples: int = 512
    classes: int = 2

    def task(self, seed: int, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs [2 * examples, dim] (the second half is for testing) and labels."""
        rng = randomness.generator(seed, randomness.ENVIRONMENT, task)
        quadratic = rng.standard_normal((self.dim, self.dim)) / self.dim
        linear = rng.standard_normal(self.dim)
        x = rng.standard_normal((2 * self.examples, self.dim))
        score = np.einsum("ni,ij,nj->n", x, quadratic, x) + x @ linear
        return x.astype(np.float32), (score > 0).astype(np.int64)


class Classifier(Learner):
    """A classifier with a continual-learning method, S seeds in lockstep.

    Args:
        stream: the tasks.
        method: the continual-learning method; None is fine-tuning. The learner keeps a copy.
        seeds: each has its own tasks, weights and draws.
        parity: "original" reproduces what is taken for defects of the published code.
        **overrides: single settings of `ClassifierSettings`.

    Example:
        >>> learner = Classifier(ToyStream(n_tasks=2))
        >>> for task in range(2):
        ...     learner.train_task(task, steps=100)
        >>> learner.accuracy(1).shape
        torch.Size([1])
    """

    name: ClassVar[str] = "classifier"

    def __init__(
        self,
        stream: ToyStream,
        method: Method | None = None,
        seeds: Sequence[int] = (0,),
        parity: Parity = "clean",
        **overrides: Any,
    ):
        self.parity = check_value(parity, Parity, "parity")
        self.method = replace(method) if method is not None else Finetuning()
        self.settings = make_settings(ClassifierSettings, None, self.method, overrides)
        self.seeds, self.stream = tuple(seeds), stream
        self.streams = Streams(self.seeds)
        self.n_tasks, self.task = stream.n_tasks, 0
        heads = self.n_tasks if self.settings.multi_head else 1
        self.net = HeadedNetwork(
            (self.n_seeds,),
            stream.dim,
            stream.classes,
            heads,
            self.settings.hidden_sizes,
            self.settings.layer_norm,
        )
        self._draw_weights()
        tasks = [[stream.task(s, task) for s in self.seeds] for task in range(self.n_tasks)]
        self._inputs = torch.from_numpy(np.stack([[x for x, _ in seeds] for seeds in tasks]))
        self._labels = torch.from_numpy(np.stack([[y for _, y in seeds] for seeds in tasks]))
        self.method.attach(self)
        self.make_optimizers()

    def make_optimizers(self) -> None:
        """One Adam for the whole network."""
        named = dict(self.net.named_parameters())
        self.flats = {"classifier": FlatParameters(named, (self.n_seeds,))}
        self.optimizers = {
            "classifier": SeedAdam(self.flats["classifier"], self.settings.learning_rate)
        }

    def _draw_weights(self) -> None:
        fan_out = self.net.heads * self.net.outputs
        self.net.initialise(self.generators(randomness.WEIGHTS), fan_out)

    def reinitialise(self) -> None:
        """Draw fresh weights and forget the optimizer's moments."""
        self._draw_weights()
        self.reset_optimizers()

    def network(self) -> HeadedNetwork:
        """Return the network."""
        return self.net

    def output_distributions(self, batch: LabelledBatch) -> Categorical:
        """Return the class probabilities of a batch."""
        return Categorical(self.net(batch.inputs, batch.task))

    def losses(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Return the cross-entropy of every seed, [S]."""
        logits = self.net(batch.inputs, batch.task)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
        return {"classifier": loss.view(self.n_seeds, -1).mean(-1)}

    def sample(self, n: int | None, role: int) -> LabelledBatch:
        """Draw training examples with replacement, of the current task or of all tasks seen."""
        n, examples = n or self.settings.batch_size, self.stream.examples
        every = self.settings.replay == "all"
        high = (self.task + 1) * examples if every else examples
        index = torch.from_numpy(self.streams.integers(role, [high] * self.n_seeds, n))
        return self._rows(index % examples, index // examples if every else self.task)

    def rows_of(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Return inputs, labels and task ids."""
        return {
            "inputs": batch.inputs,
            "labels": batch.labels,
            "task": task_ids(batch.task, batch.labels),
        }

    def batch_of(self, rows: dict[str, Tensor], role: int) -> LabelledBatch:
        """Return the batch of stored rows; there is no noise to draw."""
        return LabelledBatch(rows["inputs"], rows["labels"], rows["task"].long())

    def train_task(self, task: int, steps: int) -> None:
        """Train on a task for a number of updates, with the method's hooks around it."""
        self.task = task
        if task > 0 and self.settings.reset_optimizer:
            self.reset_optimizers()
        self.method.on_task_start(task)
        for _ in range(steps):
            self.update(self.sample(None, randomness.REPLAY))
        self.method.on_task_end(task)

    def accuracy(self, task: int) -> Tensor:
        """Return the share of a task's test examples that is classified rightly, [S]."""
        rows = torch.arange(self.stream.examples, 2 * self.stream.examples)
        batch = self._rows(rows.expand(self.n_seeds, -1), task)
        with torch.no_grad(), self.method.evaluating(task):
            right = self.net(batch.inputs, task).argmax(-1) == batch.labels
        return right.float().mean(-1)

    def _rows(self, index: Tensor, task: int | Tensor) -> LabelledBatch:
        """Return examples at positions [S, B] of one task or of tasks [S, B]."""
        seeds = torch.arange(self.n_seeds).unsqueeze(1)
        return LabelledBatch(
            self._inputs[task, seeds, index], self._labels[task, seeds, index], task
        )
