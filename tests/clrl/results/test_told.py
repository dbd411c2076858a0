"""The columns "task boundaries" and "task id": what sequence, learner and method made of them."""

from pathlib import Path
from typing import Any

import pytest

from clrl.results.tables import table
from clrl.results.told import NOTE, made_use_of
from tests.clrl.synthetic import USES_NOTHING, config, random_success, write_run

TASKS = ("push-v3", "reach-v3")


def told(
    method: str = "finetuning", tasks: tuple[str, ...] = TASKS, **sequence: Any
) -> dict[str, Any]:
    """A configuration in which only the method can use anything."""
    values = config(tasks, 4, [0])
    values["learner"] |= USES_NOTHING
    values["sequence"] |= sequence
    return {**values, "method": {"name": method}}


@pytest.mark.parametrize(
    ("method", "sequence", "expected"),
    [
        ("finetuning", {}, (False, False)),
        ("ewc", {}, (True, False)),
        ("packnet", {}, (True, True)),
        ("packnet", {"reveals": "boundaries"}, (True, False)),
        ("packnet", {"reveals": "nothing"}, (False, False)),
        ("packnet", {"interleaved": True}, (False, True)),
        ("packnet", {"tasks": ["push-v3"]}, (False, False)),
        ("my_package.file:Class", {}, (None, None)),
        ("from-the-future", {}, (None, None)),
        ("from-the-future", {"reveals": "boundaries"}, (None, False)),
        ("from-the-future", {"reveals": "nothing"}, (False, False)),
    ],
)
def test_a_method_uses_what_the_sequence_tells(
    method: str, sequence: dict[str, Any], expected: tuple[bool | None, bool | None]
) -> None:
    assert made_use_of(told(method, **sequence)) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"multi_head": True}, (False, True)),
        ({"hide_task_id": False}, (False, True)),
        ({"reset_buffer": True}, (True, False)),
        ({"reset_optimizer": True}, (True, False)),
        ({"reset_critic": True}, (True, False)),
        ({"exploration_steps": 1000}, (True, False)),
        ({"learning_starts": 500}, (True, False)),
    ],
)
def test_settings_of_the_learner_use_it_too(
    setting: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    values = told()
    values["learner"] |= setting
    assert made_use_of(values) == expected


def test_an_unknown_method_is_yes_where_the_settings_alone_decide() -> None:
    values = told("my_package.file:Class")
    values["learner"] |= {"multi_head": True}
    assert made_use_of(values) == (None, True)


def test_an_unknown_learner_is_yes_where_the_method_alone_decides() -> None:
    values = told("ewc")
    values["learner"]["name"] = "from-the-future"
    assert made_use_of(values) == (True, None)


def cells(directory: Path) -> list[str]:
    text = table([directory]).markdown()
    (line,) = (line for line in text.splitlines() if line.startswith(("| finetuning", "| multi")))
    answers = line.strip("| ").split(" | ")[-2:]
    assert (NOTE in text) == ("yes" in answers)
    return answers


def test_finetuning_with_heads_and_resets_says_yes(tmp_path: Path) -> None:
    learner = {"multi_head": True, "reset_buffer": True}
    write_run(tmp_path / "run", random_success(1, 2, 2), TASKS, learner=USES_NOTHING | learner)
    assert cells(tmp_path) == ["yes", "yes"]


def test_a_sequence_that_reveals_nothing_says_no(tmp_path: Path) -> None:
    learner = {"reset_optimizer": True, "exploration_steps": 10}
    write_run(tmp_path / "run", random_success(1, 2, 2), TASKS, learner=USES_NOTHING | learner,
              sequence={"reveals": "nothing"})  # fmt: skip
    assert cells(tmp_path) == ["no", "no"]


def test_multi_task_training_knows_the_task_and_has_no_boundary(tmp_path: Path) -> None:
    write_run(tmp_path / "run", random_success(1, 2, 2), TASKS, method={"name": "multitask"},
              learner=USES_NOTHING | {"multi_head": True, "reset_optimizer": True},
              sequence={"interleaved": True})  # fmt: skip
    assert cells(tmp_path) == ["no", "yes"]
