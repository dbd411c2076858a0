"""Settings of the learners: what is forced, what they use, what a run is planned with."""

import dataclasses
from typing import Any

import pytest

from clrl.agents.classifier.settings import ClassifierSettings
from clrl.agents.methods import METHODS
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.methods.multitask import MultiTask
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.learners import SETTINGS, make_settings

REVEALS = ("task", "boundaries", "nothing")


@pytest.mark.parametrize("kind", SETTINGS.values())
def test_a_learner_that_is_told_less_has_one_head_and_resets_nothing(kind: Any) -> None:
    assert make_settings(kind, None, Finetuning(), {}) == kind()
    for reveals in REVEALS[1:]:
        settings = make_settings(kind, None, Finetuning(), {}, reveals)
        values = dataclasses.asdict(settings)
        boundaries, task_id = kind.uses(values)
        assert not task_id and settings.multi_head is False
        resets = {name for name, value in values.items() if name.startswith("reset_") and value}
        assert bool(resets) == (reveals == "boundaries")
        assert settings == dataclasses.replace(kind(), **kind.forced(reveals))


@pytest.mark.parametrize(
    ("kind", "setting", "reveals"),
    [
        (SACSettings, {"multi_head": True}, "boundaries"),
        (SACSettings, {"hide_task_id": False}, "boundaries"),
        (SACSettings, {"exploration": "best_return"}, "boundaries"),
        (SACSettings, {"reset_buffer": True}, "nothing"),
        (SACSettings, {"reset_critic": True}, "nothing"),
        (PPOSettings, {"reset_optimizer": True}, "nothing"),
        (ClassifierSettings, {"multi_head": True}, "nothing"),
    ],
)
def test_a_setting_that_needs_what_is_not_revealed_is_refused(
    kind: Any, setting: dict[str, Any], reveals: str
) -> None:
    ((name, value),) = setting.items()
    sentence = f"{kind.name}.{name} is {value!r}, but the sequence reveals {reveals}; it must be "
    with pytest.raises(ValueError, match=sentence):
        make_settings(kind, None, Finetuning(), setting, reveals)
    with pytest.raises(ValueError, match=f"but the sequence reveals {reveals}"):
        make_settings(kind, kind(**setting), Finetuning(), {}, reveals)


def test_complete_settings_may_say_what_is_forced() -> None:
    given = SACSettings(**SACSettings.forced("nothing"), gamma=0.9)
    assert make_settings(SACSettings, given, Finetuning(), {}, "nothing") == given
    assert make_settings(SACSettings, given, Finetuning(), {}, "task") == given


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("reveals", REVEALS)
def test_a_method_is_refused_by_name_where_it_is_told_too_little(name: str, reveals: str) -> None:
    kind = METHODS[name]
    fits = reveals == "task" or not (kind.uses_task_id or kind.uses_task_boundaries)
    fits = fits or (reveals == "boundaries" and not kind.uses_task_id)
    if fits:
        make_settings(SACSettings, None, kind(), {}, reveals)
    else:
        with pytest.raises(ValueError, match=f"{kind.__name__} needs to be told .* --reveals "):
            make_settings(SACSettings, None, kind(), {}, reveals)


def test_what_a_learner_uses_comes_from_its_settings() -> None:
    assert SACSettings.uses({}) == (True, True)
    off = {name: False for name in ("reset_buffer", "reset_optimizer", "multi_head")}
    assert SACSettings.uses(off) == (True, False)  # it explores every task
    still = off | {"exploration_steps": 0, "learning_starts": 0}
    assert SACSettings.uses(still) == (False, False)
    assert SACSettings.uses(still | {"hide_task_id": False}) == (False, True)
    assert PPOSettings.uses({}) == (True, True)
    assert PPOSettings.uses({"reset_optimizer": False, "multi_head": False}) == (False, False)
    assert ClassifierSettings.uses({"multi_head": False}) == (True, False)


class Turns(MultiTask):
    """A user's own interleaved method."""


@pytest.mark.parametrize("kind", SETTINGS.values())
def test_a_learner_that_cannot_interleave_says_so_of_any_method(kind: Any) -> None:
    if kind.can_interleave:
        make_settings(kind, None, Turns(), {})
        return
    with pytest.raises(ValueError, match=f"Turns does not work on .* {kind.name}: {kind.no_turns}"):
        make_settings(kind, None, Turns(), {})


def test_tasks_of_different_lengths_are_counted_one_by_one() -> None:
    sac = SACSettings(learning_starts=10, train_freq=10, gradient_steps=2, buffer_size=1_000)
    assert sac.updates((100, 35), False) == 2 * (9 + 2)
    assert sac.updates((100, 35), True) == 2 * 12
    assert sac.rows_stored((100, 35), False) == 100
    assert sac.rows_stored((100, 35), True) == 135
    assert sac.with_rows(135).buffer_size == 135
    with pytest.raises(ValueError, match="exploration_steps is 10000, but a task has 35 steps"):
        sac.check_fit((100_000, 35), True)
    with pytest.raises(ValueError, match="is 10000, but the run has 10000 steps .* at most 9999"):
        sac.check_fit((9_000, 1_000), False)
    sac.check_fit((9_000, 1_001), False)
    with pytest.raises(ValueError, match="n_steps is 2048, but a task has 2047 steps"):
        PPOSettings().check_fit((2048, 2047), True)


def test_the_numbers_of_the_classifier_are_counted() -> None:
    from clrl.agents.classifier import Classifier
    from clrl.envs.streams import ToyStream

    stream = ToyStream(n_tasks=3)
    learner = Classifier(stream)
    sizes = learner.settings.network_numbers(stream.dim, stream.classes, 3)
    assert sizes[0] == sum(parameter.numel() for parameter in learner.net.parameters())
