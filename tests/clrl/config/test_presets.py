"""What a run is before the user's flags."""

from __future__ import annotations

import typing

import pytest

from clrl.agents.methods import METHODS
from clrl.agents.methods.packnet import PackNet
from clrl.agents.ppo.settings import SLIPPERY_ANT_PRESET, PPOSettings
from clrl.agents.sac.settings import SMALL_PRESET, SACSettings
from clrl.config.presets import PRESETS, PresetName, base_config, draft_config
from clrl.errors import ConfigError

TASKS = "push-v3,window-close-v3"


STEPS = PRESETS["small"].sequence["steps_per_task"]


SMALL = base_config(TASKS, "packnet", "small")


def test_the_published_settings_of_learner_and_method_are_the_defaults() -> None:
    assert base_config("CW10", "finetuning").learner == SACSettings()
    published = base_config("CW10", "packnet")
    assert published.learner == SACSettings(**PackNet.learner_defaults["sac"])
    assert published.method == PackNet()
    assert published.sequence.steps_per_task == 1_000_000


def test_the_small_preset_stands_above_the_method_s_settings() -> None:
    assert typing.get_args(PresetName) == tuple(PRESETS)
    expected = SACSettings(**{**PackNet.learner_defaults["sac"], **SMALL_PRESET})
    assert SMALL.learner == expected
    assert SMALL.sequence.steps_per_task == STEPS


@pytest.mark.parametrize("method", METHODS)
def test_the_small_preset_fits_every_method(method: str) -> None:
    config = base_config(TASKS, method, "small")
    assert len(config.sequence.schedule.evaluations(config.evaluation.evals_per_task)) == 12


def test_a_preset_is_only_for_the_learners_that_it_names() -> None:
    ant = base_config("CW10", "finetuning", "slippery-ant", "ppo")
    assert ant.learner == PPOSettings(**SLIPPERY_ANT_PRESET)
    assert ant.sequence.steps_per_task == 1_000_000
    with pytest.raises(ConfigError, match="'slippery-ant' has settings of the learner ppo only"):
        base_config("CW10", "finetuning", "slippery-ant")


def test_what_a_sequence_hides_wins_over_a_preset_and_a_method() -> None:
    told = {
        name: base_config(TASKS, "l2", "small", reveals=name) for name in ("task", "boundaries")
    }
    assert told["task"].learner.multi_head and not told["boundaries"].learner.multi_head
    assert told["boundaries"].learner.hidden_sizes == told["task"].learner.hidden_sizes


def test_a_draft_may_not_fit_together_yet_and_a_configuration_must() -> None:
    short = draft_config("toy", "packnet")
    assert max(short.sequence.schedule.lengths) < 100_000 == vars(short.method)["retrain_steps"]
    with pytest.raises(ConfigError, match="retrain_steps is 100000"):
        base_config("toy", "packnet")
