"""Meta-World's tasks as a family."""

from clrl.config.families import MetaWorldSequence
from clrl.config.families.metaworld import MetaWorldSequence as Family
from clrl.envs.metaworld.tasks import CW10


def test_the_settings_reach_the_worlds() -> None:
    made = MetaWorldSequence(CW10[:2], 7, horizon=50, randomization="deterministic").make(0)
    assert [maker.keywords["horizon"] for maker in made.makers] == [50, 50]  # type: ignore
    assert made.task_names == CW10[:2] and made.score == "success"


def test_an_evaluation_plays_whole_episodes() -> None:
    assert MetaWorldSequence(("push-v3",)).evaluated(11) == 11 * 200
    assert not Family.probed  # the tests of envs/metaworld try its worlds
