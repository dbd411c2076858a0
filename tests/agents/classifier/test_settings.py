"""Settings of the classifier, and what follows from them."""

import pytest

from clrl.agents.classifier import Classifier
from clrl.agents.classifier.settings import ClassifierSettings
from clrl.envs.streams import ToyStream


@pytest.mark.parametrize("multi_head", [True, False])
def test_the_numbers_of_the_classifier_are_counted(multi_head: bool) -> None:
    stream = ToyStream(n_tasks=3)
    learner = Classifier(stream, multi_head=multi_head)
    network, all_numbers = learner.settings.network_numbers(stream.dim, stream.classes, 3)
    assert network == sum(parameter.numel() for parameter in learner.net.parameters())
    assert all_numbers == 4 * network  # with gradients and two moments


def test_what_the_classifier_uses_comes_from_its_settings() -> None:
    assert ClassifierSettings.uses({}) == (True, True)
    assert ClassifierSettings.uses({"multi_head": False}) == (True, False)
    assert ClassifierSettings.uses({"reset_optimizer": False}) == (False, True)


def test_every_step_is_an_update_and_examples_are_the_worlds() -> None:
    settings = ClassifierSettings()
    assert settings.updates((30, 12), False) == settings.updates((30, 12), True) == 42
    assert settings.rows_stored((30, 12), True) == 0
