"""What a learner asks of supervised tasks: a stream needs no more than that."""

import numpy as np
import torch

from clrl.agents.classifier import Classifier
from clrl.agents.classifier.stream import Stream


class Signs:
    """A stream of one's own: the sign of the task's coordinate is the class."""

    n_tasks, dim, classes, examples = 2, 3, 2, 100

    def task(self, seed: int, task: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((seed, task))
        inputs = rng.normal(size=(2 * self.examples, self.dim)).astype(np.float32)
        return inputs, (inputs[:, task] > 0).astype(np.int64)


def test_a_classifier_learns_a_stream_that_has_the_five_names_only() -> None:
    stream: Stream = Signs()
    learner = Classifier(stream, seeds=(0, 1), learning_rate=1e-2)
    assert (learner.n_tasks, learner.net.heads) == (2, 2)  # without `reveals` the task is told
    for task in range(2):
        learner.train_task(task, 100)
        assert float(learner.accuracy(task).min()) > 0.85


def test_accuracy_is_measured_on_the_second_half_of_a_task() -> None:
    class Swapped(Signs):
        def task(self, seed: int, task: int) -> tuple[np.ndarray, np.ndarray]:
            inputs, labels = super().task(seed, task)
            labels[self.examples :] = 1 - labels[self.examples :]
            return inputs, labels

    truth, lie = (Classifier(stream, learning_rate=1e-2) for stream in (Signs(), Swapped()))
    for learner in (truth, lie):
        learner.train_task(0, 50)
    assert torch.equal(truth.flats["classifier"].flat, lie.flats["classifier"].flat)
    torch.testing.assert_close(truth.accuracy(0), 1 - lie.accuracy(0))
