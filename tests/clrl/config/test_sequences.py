"""What `--sequence` takes, and what it answers to a typo."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from clrl.config.families import FunctionSequence, GymnasiumSequence, MetaWorldSequence, ToySequence
from clrl.config.run import RunConfig
from clrl.config.sequences import sequence_named, settings_of
from clrl.envs.metaworld.tasks import CW10
from clrl.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CW10", MetaWorldSequence(CW10, 5)),
        ("CW20", MetaWorldSequence(CW10 + CW10, 5)),
        ("push-v3, hammer-v3", MetaWorldSequence(("push-v3", "hammer-v3"), 5)),
        ("Pendulum-v1?g=2,Pendulum-v1", GymnasiumSequence(("Pendulum-v1?g=2", "Pendulum-v1"), 5)),
        ("toy", ToySequence(steps_per_task=5)),
        ("toy-0,toy-1", ToySequence(("toy-0", "toy-1"), 5)),
    ],
)
def test_a_text_names_a_sequence(text: str, expected: object) -> None:
    assert sequence_named(text, steps_per_task=5) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hamer-v3", "unknown task 'hamer-v3'; did you mean 'hammer-v3'"),
        ("push-v3,widnow-close-v3", "did you mean 'window-close-v3'"),
        ("CW30", "did you mean 'CW20'"),
        ("Pendulm-v1?g=2", "did you mean 'Pendulum-v1'"),
        ("push-v3,Pendulum-v1", "mixes tasks of Meta-World with environments of Gymnasium"),
        ("xyz", "unknown task 'xyz'; `clrl list tasks` shows all"),
        ("", "unknown task ''"),
        ("no_such_package.file:function", "cannot be imported: No module named 'no_such_pack"),
        ("math:no_such_function", "math has no no_such_function"),
        ("math:pi", "it must be a function"),
        ("math:sqrt", "returns 0.0; it must be a TaskSequence"),
        ("os.path:join", "os.path:join.0. fails: TypeError"),
    ],
)
def test_what_names_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sequence_named(text)


def test_a_function_says_all_of_its_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_worlds.py").write_text(
        textwrap.dedent("""
        from functools import partial
        import gymnasium as gym
        from clrl.envs.sequence import TaskSequence

        def swings(seed):
            makers = [partial(gym.make, "Pendulum-v1", g=g + seed) for g in (10.0, 2.0)]
            return TaskSequence(makers, [4, 6], ["heavy", "light"], reveals="boundaries",
                                worlds="per_seed")
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    named = sequence_named("my_worlds:swings", 3, steps_per_task=99)  # a preset's has no say
    assert isinstance(named, FunctionSequence)
    assert (named.tasks, named.steps_per_task) == (("heavy", "light"), (4, 6))
    assert (named.reveals, named.score, named.name) == ("boundaries", "return", "swings")
    own = named.make(5)
    assert [own.make_task(k).unwrapped.g for k in (0, 1)] == [15, 7]  # type: ignore[attr-defined]
    sparse = {"sequence": {"family": "function", "function": "my_worlds:swings"},
              "evaluation": {"evals_per_task": 1},
              "learner": {"exploration_steps": 1, "learning_starts": 1,
                          "train_freq": 1}}  # fmt: skip
    assert RunConfig.from_dict(sparse).sequence == sequence_named("my_worlds:swings")
    wrong = FunctionSequence(("heavy", "light"), (4, 7), "boundaries", function="my_worlds:swings",
                             per_seed=True)  # fmt: skip
    with pytest.raises(ConfigError, match="makes a sequence whose steps_per_task is"):
        wrong.make(0)


def test_settings_go_over_to_other_worlds_of_their_family() -> None:
    settings = MetaWorldSequence(("push-v3",), 7, horizon=50)
    assert settings_of(settings, MetaWorldSequence(CW10)) == MetaWorldSequence(CW10, 7, horizon=50)
    assert settings_of(settings, ToySequence()) == ToySequence()
