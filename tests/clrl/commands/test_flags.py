"""Words of a command line become dataclasses, or one clear sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tyro.conf import Positional

from clrl.commands.flags import First, look, parse, some_directories
from clrl.errors import ConfigError


@dataclass(frozen=True)
class Dish:
    """Something to eat."""

    name: Positional[str]
    """What it is."""
    spoons: int = 1
    """How much sugar."""
    with_milk: bool = False
    """Whether it floats."""

    def __post_init__(self) -> None:
        if self.spoons > 9:
            raise ValueError(f"spoons is {self.spoons}; it must be in 0..9")


def test_flags_are_fields_and_what_is_not_given_is_the_default() -> None:
    words = ["porridge", "--spoons", "3", "--with-milk"]
    assert parse(Dish, "eat", words) == Dish("porridge", 3, True)
    assert parse(Dish, "eat", ["--spoons=0"], Dish("soup", 5, True)) == Dish("soup", 0, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "eat needs STR"),
        (["soup", "--spons", "3"], "unknown flag '--spons'; did you mean '--spoons'?"),
        (["soup", "--with_mlik"], "unknown flag '--with-mlik'; did you mean '--with-milk'?"),
        (["soup", "salad"], "unexpected 'salad'"),
        (["soup", "--spoons", "1.5"], "--spoons: '1.5' is not a whole number"),
        (["soup", "--spoons", "12"], "spoons is 12; it must be in 0..9"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(Dish, "eat", words)
    assert str(refusal.value) == sentence


def test_help_is_no_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(Dish, "eat", ["--help"])
    assert not end.value.code
    out = capsys.readouterr().out
    assert "usage: eat" in out and "How much sugar. (default: 1)" in out


def test_what_decides_the_defaults_is_found_before_the_other_flags_are_known() -> None:
    words = ["ewc", "--coef", "4", "--sequence=CW10", "--seeds", "1..3", "--ppo.gamma=1"]
    assert look([*words, "--learner", "ppo", "--reveals", "nothing"]) == First(
        "ewc", False, "CW10", "ppo", None, None, "nothing", "1..3"
    )
    without = look(["--config", "c.yaml", "--preset", "small"])
    assert (without.method, without.config, without.preset) == (None, "c.yaml", "small")


def test_a_mistyped_task_is_refused_at_once_but_not_where_help_is_asked_for() -> None:
    words = ["ewc", "--sequence", "hamer-v3"]
    with pytest.raises(ConfigError, match="did you mean 'hammer-v3'"):
        look(words)
    assert look([*words, "--help"]).help and look(["-h", *words[1:]]).help


def test_a_command_on_runs_needs_a_directory() -> None:
    assert some_directories((Path("runs"),), "table") == (Path("runs"),)
    with pytest.raises(ConfigError, match="name at least one directory: clrl table DIR..."):
        some_directories((), "table")
