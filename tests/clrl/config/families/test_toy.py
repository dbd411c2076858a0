"""The toy stream as a family."""

import pytest

from clrl.config.families import ToySequence
from clrl.errors import ConfigError


def test_a_stream_is_no_environment() -> None:
    with pytest.raises(ConfigError, match="toy has no environments"):
        ToySequence().make(0)


def test_an_evaluation_of_a_stream_is_its_test_examples_whatever_the_episodes() -> None:
    assert ToySequence(examples=100).evaluated(11) == 100
