"""Which runs are joined, what a group is called, and which runs are not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.errors import ConfigError
from clrl.results.groups import by_sequence, in_order, join, labels, shortfall
from clrl.results.reading import RunData, read_run
from tests.clrl.results.test_metrics import SUCCESS
from tests.clrl.synthetic import random_success, write_run

TASKS = ("hammer-v3", "push-v3", "reach-v3")


def read(directory: Path, scores: np.ndarray = SUCCESS, **changes: Any) -> RunData:
    """A run with these scores, as it is read."""
    return read_run(write_run(directory, scores, TASKS[: scores.shape[2]], **changes))


def test_seeds_of_equal_configurations_are_joined_in_ascending_order(tmp_path: Path) -> None:
    success = random_success(5, 5, 3)
    later = read(tmp_path / "a", success[3:], seeds=(3, 4), placement={"device": "cuda"})
    first = read(tmp_path / "b", success[[1, 0, 2]], seeds=(1, 0, 2), logging={"wandb": "online"})

    (group,) = join([later, first])

    assert group.seeds == (0, 1, 2, 3, 4)
    np.testing.assert_array_equal(group.scores, success)
    assert group.directories == [str(tmp_path / "b"), str(tmp_path / "a")]


def test_ten_seeds_and_more_stand_in_the_order_of_their_text(tmp_path: Path) -> None:
    success = random_success(12, 2, 1)
    runs = [
        read(tmp_path / "a", success[:7], seeds=range(7)),
        read(tmp_path / "b", success[7:], seeds=range(7, 12)),
    ]
    (group,) = join(runs)
    assert group.seeds == (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)
    np.testing.assert_array_equal(group.scores, success[list(group.seeds)])


@pytest.mark.parametrize(
    "other",
    [
        {"method": {"coef": 1.0}},
        {"learner": {"batch_size": 64}},
        {"evaluation": {"stochastic_episodes": 3}},
        {"sequence": {"horizon": 100}},
    ],
)
def test_any_other_setting_makes_another_group(tmp_path: Path, other: dict[str, Any]) -> None:
    one = read(tmp_path / "a", SUCCESS[:1], seeds=(0,))
    two = read(tmp_path / "b", SUCCESS[1:], seeds=(1,), **other)
    assert [group.seeds for group in join([two, one])] == [(1,), (0,)]


def test_the_same_seed_twice_is_refused_and_both_directories_named(tmp_path: Path) -> None:
    runs = [read(tmp_path / "a", seeds=(0, 1)), read(tmp_path / "b", seeds=(1, 2))]
    with pytest.raises(ConfigError, match="seed 1 .*/a and in .*/b"):
        join(runs)


def test_what_is_revealed_makes_another_row_and_the_world_another_table(tmp_path: Path) -> None:
    told = read(tmp_path / "a")
    untold = read(tmp_path / "b", sequence={"reveals": "nothing"})
    other = read(tmp_path / "c", sequence={"horizon": 500})
    often = read(tmp_path / "d", random_success(1, 12, 3), sequence={"steps_per_task": 6000})
    assert by_sequence([told, other, often, untold]) == [[told, untold], [other], [often]]
    assert len(join([told, untold])) == 2


def test_groups_stand_in_the_order_of_the_methods_and_unknown_ones_last(tmp_path: Path) -> None:
    names = ("from-the-future", "packnet", "finetuning", "ewc")
    groups = join(read(tmp_path / name, method={"name": name}) for name in names)
    found = [group.method for group in in_order(groups)]
    assert found == ["finetuning", "ewc", "packnet", "from-the-future"]


def test_groups_of_one_method_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"method": {"name": "ewc", "coef": 1.0}},
        {"method": {"name": "ewc", "coef": 10.0}},
        {"evaluation": {"stochastic_episodes": 20}},
    ]
    groups = join(read(tmp_path / str(k), **change) for k, change in enumerate(changes))

    assert labels(groups) == [
        "ewc (coef=1.0, evaluation.stochastic_episodes=10)",
        "ewc (coef=10.0, evaluation.stochastic_episodes=10)",
        "finetuning (evaluation.stochastic_episodes=20)",
    ]
    assert labels(groups[2:]) == ["finetuning"]


def test_a_method_on_two_learners_is_told_apart_by_the_learner_alone(tmp_path: Path) -> None:
    learners = (
        {"name": "sac", "batch_size": 128, "tau": 0.01},
        {"name": "ppo", "batch_size": 64, "n_steps": 500},
    )
    groups = join(read(tmp_path / str(k), learner=own) for k, own in enumerate(learners))
    assert labels(groups) == ["finetuning (learner.name=sac)", "finetuning (learner.name=ppo)"]


def test_a_run_that_is_not_whole_says_why(tmp_path: Path) -> None:
    gap = SUCCESS.copy()
    gap[1, 17, 0] = np.nan
    assert shortfall(read(tmp_path / "whole")) is None
    assert shortfall(read(tmp_path / "gap", gap, seeds=(4, 7))) == (
        f"{tmp_path / 'gap'} has no evaluation of task 0 (hammer-v3) at step 18,000 for seed 7"
    )
    gap[1, 16, 0] = np.nan
    assert shortfall(read(tmp_path / "wide", gap), 2) == (
        f"{tmp_path / 'wide'} has no evaluation of task 0 (hammer-v3) at step 17,000 for seed 1, "
        "which a window of 2 needs"
    )
    gap[:, 16:] = np.nan
    assert shortfall(read(tmp_path / "cut", gap, state="interrupted")) == (
        f"{tmp_path / 'cut'} is interrupted, evaluated up to step 16,000 of 18,000"
    )


def test_interleaved_tasks_have_no_changes_and_need_no_curves(tmp_path: Path) -> None:
    late = SUCCESS.copy()
    late[:, :-5] = np.nan
    run = read(tmp_path / "run", late, sequence={"interleaved": True})
    (group,) = join([run])
    assert shortfall(run) is None and group.interleaved and group.changes == ()
    (apart,) = join([read(tmp_path / "apart")])
    assert apart.changes == (6000, 12_000)
