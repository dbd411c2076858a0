"""What the settings of every learner have."""

import dataclasses
from typing import Any

import pytest

from clrl.agents.classifier.settings import ClassifierSettings
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.base import dense
from clrl.agents.settings.learners import SETTINGS, make_settings


@pytest.mark.parametrize("kind", SETTINGS.values())
def test_a_learner_that_is_told_less_has_one_head_and_resets_nothing(kind: Any) -> None:
    assert make_settings(kind, None, Finetuning(), {}) == kind()
    for reveals in ("boundaries", "nothing"):
        settings = make_settings(kind, None, Finetuning(), {}, reveals)
        values = dataclasses.asdict(settings)
        boundaries, task_id = kind.uses(values)
        assert not task_id and settings.multi_head is False
        resets = {name for name, value in values.items() if name.startswith("reset_") and value}
        assert bool(resets) == (reveals == "boundaries")
        assert settings == dataclasses.replace(kind(), **kind.forced(reveals))


def test_a_number_of_steps_must_fit_into_every_task_or_untold_into_the_run() -> None:
    settings = PPOSettings(n_steps=50)
    for lengths, told, spare in (((90, 50), True, 0), ((30, 20), False, 0), ((51, 60), True, 1)):
        settings.check_length("n_steps", lengths, told, spare)
    short = "n_steps is 50, but a task has 50 steps .*; give --ppo.n-steps of at most 49, or"
    with pytest.raises(ValueError, match=short):
        settings.check_length("n_steps", (90, 50), True, spare=1)
    with pytest.raises(ValueError, match="but the run has 49 steps .*of at most 49"):
        settings.check_length("n_steps", (29, 20), False)


def test_networks_have_a_head_for_every_task_and_see_the_one_hot_where_settings_say_so() -> None:
    hidden, seen = SACSettings(), SACSettings(multi_head=False, hide_task_id=False)
    assert [hidden.heads(3), hidden.visible(3)] == [3, 0]
    assert [seen.heads(3), seen.visible(3), seen.visible(1)] == [1, 3, 0]
    assert ClassifierSettings().visible(3) == 0  # it has no such setting


def test_dense_layers_are_weights_and_biases() -> None:
    assert dense((3, 4, 2)) == (3 * 4 + 4) + (4 * 2 + 2)
    assert dense((5,)) == 0
