"""Settings of the learners: what is forced, and what is refused."""

from typing import Any

import pytest

from clrl.agents.classifier.settings import ClassifierSettings
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.methods.multitask import MultiTask
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.learners import SETTINGS, make_settings


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


class Turns(MultiTask):
    """A user's own interleaved method."""


@pytest.mark.parametrize("kind", SETTINGS.values())
def test_a_learner_that_cannot_interleave_says_so_of_any_method(kind: Any) -> None:
    if kind.can_interleave:
        make_settings(kind, None, Turns(), {})
        return
    with pytest.raises(ValueError, match=f"Turns does not work on .* {kind.name}: {kind.no_turns}"):
        make_settings(kind, None, Turns(), {})
