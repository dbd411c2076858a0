"""A classifier for streams of supervised tasks; also the fast test bed of every method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clrl.agents import randomness
from clrl.agents.classifier.settings import ClassifierSettings
from clrl.agents.classifier.stream import Stream
from clrl.agents.learner import Learner, Parity, report_names
from clrl.agents.methods.base import Method, own_copy
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.networks.adam import FlatParameters, SeedAdam
from clrl.agents.networks.distributions import Categorical
from clrl.agents.networks.layers import HeadedNetwork
from clrl.agents.randomness import Streams, check_seeds
from clrl.agents.settings.fields import check_value
from clrl.agents.settings.learners import make_settings
from clrl.agents.spaces import Reveals, task_dtype
from clrl.agents.state import State, of_seed


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


class Classifier(Learner):
    """A classifier with a continual-learning method, S seeds in lockstep.

    A step is one update of each seed. What the stream reveals decides about heads and hooks as it
    does for agents: one head unless it is "task", and with "nothing" all is task 0, which starts
    and ends once; `show` then changes the examples.

    Args:
        stream: the tasks.
        method: the continual-learning method; None is fine-tuning. The learner keeps a copy.
        settings: of the learner; None means the learner's and the method's published ones.
        seeds: each has its own tasks, weights and draws.
        parity: "original" reproduces what is taken for defects of the published code.
        **overrides: single settings of `ClassifierSettings`.

    Attributes:
        shown: the task of the stream whose examples are trained on.
        seen: those whose examples were.

    Raises:
        ValueError: a method that does not work on this learner or with what the stream reveals.
        TypeError: an unknown setting, or no object of a method.

    Example:
        >>> from clrl.envs.streams import ToyStream
        >>> learner = Classifier(ToyStream(n_tasks=2))
        >>> for task in range(2):
        ...     learner.train_task(task, steps=100)
        >>> learner.accuracy(1).shape
        torch.Size([1])
    """

    name: ClassVar[str] = "classifier"
    counters: ClassVar[tuple[str, ...]] = (*Learner.counters, "shown", "seen")
    device = torch.device("cpu")

    def __init__(
        self,
        stream: Stream,
        method: Method | None = None,
        settings: ClassifierSettings | None = None,
        *,
        seeds: Sequence[int] = (0,),
        parity: Parity = "clean",
        **overrides: Any,
    ):
        self.parity = check_value(parity, Parity, "parity")
        self.method = own_copy(method or Finetuning())
        self.reveals: Reveals = getattr(stream, "reveals", "task")
        kind = ClassifierSettings
        self.settings = make_settings(kind, settings, self.method, overrides, self.reveals)
        self.seeds, self.stream = check_seeds(seeds), stream
        self.streams = Streams(self.seeds)
        self.n_tasks = 1 if self.reveals == "nothing" else stream.n_tasks
        self.task_dtype = task_dtype(self.n_tasks)
        self.task = self.shown = 0
        self.ended, self.seen, self.acts_only = [], list[int](), False
        self._build()
        self.method.attach(self)
        self.make_optimizers()

    def _build(self) -> None:
        s, stream = self.settings, self.stream
        shape = (stream.dim, stream.classes, s.heads(stream.n_tasks), s.hidden_sizes, s.layer_norm)
        self.net = HeadedNetwork((self.n_seeds,), *shape)
        self._draw_weights()
        tasks = [[stream.task(s, task) for s in self.seeds] for task in range(stream.n_tasks)]
        self._inputs = torch.from_numpy(np.stack([[x for x, _ in seeds] for seeds in tasks]))
        self._labels = torch.from_numpy(np.stack([[y for _, y in seeds] for seeds in tasks]))

    def make_optimizers(self) -> None:
        """Make one Adam for the whole network."""
        named = dict(self.net.named_parameters())
        self.flats = {"classifier": FlatParameters(named, (self.n_seeds,))}
        self.optimizers = {
            "classifier": SeedAdam(self.flats["classifier"], self.settings.learning_rate)
        }

    def modules(self) -> dict[str, nn.Module]:
        """Return the network."""
        return {"classifier": self.net}

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

    def sample(self, n: int | None, role: int, task: int | None = None) -> LabelledBatch:
        """Draw training examples with replacement: those trained on, or a task's."""
        n, examples = n or self.settings.batch_size, self.stream.examples
        hidden = self.reveals == "nothing"
        task = None if hidden else task
        every = task is None and self.settings.replay == "all"
        tasks = self._tasks_seen() if every else [self.shown if task is None else task]
        high = [len(tasks) * examples] * self.n_seeds
        index = torch.from_numpy(self.streams.integers(role, high, n))
        own = torch.tensor(tasks)[index // examples] if every else tasks[0]
        batch = self._rows(index % examples, own)
        return replace(batch, task=0) if hidden else batch

    def rows_of(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """Return inputs, labels and task ids."""
        task = self.task_ids(batch.task, batch.labels)
        return {"inputs": batch.inputs, "labels": batch.labels, "task": task}

    def batch_of(self, rows: dict[str, Tensor], role: int) -> LabelledBatch:
        """Return the batch of stored rows; there is no noise to draw."""
        return LabelledBatch(rows["inputs"], rows["labels"], rows["task"].long())

    # Training

    def learn(self, n: int, watch: Callable[[], bool] | None = None) -> Classifier:
        """Take n updates of each seed on the examples shown.

        Args:
            n: how many.
            watch: called after every update; False stops.
        """
        if not self.task_open:
            self.start_task(self.task)
        self.seen = self._tasks_seen()
        for _ in range(n):
            losses = self.update(self.sample(None, randomness.REPLAY))
            self.num_timesteps += 1
            self.task_step += 1
            self.check_finite(losses)
            self.report = report_names(losses) | self.gradient_norms
            if watch is not None and not watch():
                break
        return self

    def show(self, task: int) -> None:
        """Train on the examples of another task of the stream, without a word to the method."""
        self.shown = task

    def start_task(self, task: int) -> None:
        """Begin a task: show it, reset what the settings say, then the method's `on_task_start`."""
        if self.reveals != "nothing":
            self.show(task)
        super().start_task(task)

    def train_task(self, task: int, steps: int) -> None:
        """Train on a task of the stream, telling the method of it what the stream reveals."""
        hidden = self.reveals == "nothing"
        if not hidden:
            self.start_task(task)
        self.show(task)
        self.learn(steps)
        if not hidden or task == self.stream.n_tasks - 1:
            self.end_task()

    def accuracy(self, task: int) -> Tensor:
        """Return the share of a task's test examples that is classified rightly, [S]."""
        rows = torch.arange(self.stream.examples, 2 * self.stream.examples)
        batch = self._rows(rows.expand(self.n_seeds, -1), task)
        revealed = task if self.reveals == "task" else self.task
        with torch.no_grad(), self.method.evaluating(revealed):
            right = self.net(batch.inputs, task).argmax(-1) == batch.labels
        return right.float().mean(-1)

    def load_state_dict(self, state: State) -> None:
        """Set everything."""
        self.seen = list(range(state["json"]["counters"]["shown"] + 1))  # older states lack it
        super().load_state_dict(state)

    def take(self, index: int) -> Classifier:
        """Return the classifier of the seed at a position, alone."""
        seeds = [self.seeds[index]]
        alone = Classifier(self.stream, self.method, self.settings, seeds=seeds, parity=self.parity)
        alone.load_state_dict(of_seed(self.state_dict(), index))
        return alone

    def _tasks_seen(self) -> list[int]:
        return sorted({*self.seen, self.shown})

    def _rows(self, index: Tensor, task: int | Tensor) -> LabelledBatch:
        """Return examples at positions [S, B] of one task or of tasks [S, B]."""
        seeds = torch.arange(self.n_seeds).unsqueeze(1)
        return LabelledBatch(
            self._inputs[task, seeds, index], self._labels[task, seeds, index], task
        )
