"""References: which single-task runs forward transfer is measured against, and what is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clrl.errors import ConfigError
from clrl.results.tables import table
from tests.clrl.results.test_metrics import REFERENCES, SUCCESS
from tests.clrl.results.test_tables import TASKS, row, write_references
from tests.clrl.synthetic import random_success, write_run


def test_a_missing_reference_is_a_dash_and_a_sentence(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references", ("push-v3",))

    result = table([tmp_path], window=5)

    assert "| 0.02 [-0.05, 0.09] | – | -0.03 |" in result.markdown()
    sentence = "Forward transfer needs reference runs that are not there: hammer-v3, reach-v3."
    assert result.problems == [sentence]
    assert f"* {sentence}" in result.markdown()
    assert row(result)["forward_transfer"]["value"] is None


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("sequence", "steps_per_task", 12000),
        ("sequence", "horizon", 500),
        ("sequence", "randomization", "fixed20"),
        ("sequence", "fixes", "stock"),
        ("evaluation", "evals_per_task", 3),
        ("evaluation", "stochastic_episodes", 5),
        ("learner", "name", "ppo"),
        ("learner", "hidden_sizes", [256]),
        ("learner", "layer_norm", False),
    ],
)
def test_a_reference_that_differs_where_it_may_not_is_no_reference(
    tmp_path: Path, section: str, name: str, value: Any
) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references", TASKS[:2])
    evaluations = 3 if name == "evals_per_task" else 6
    changes: dict[str, Any] = {section: {name: value}}
    if name == "steps_per_task":
        changes["evaluation"] = {"evals_per_task": 12}
        evaluations = 12
    if name == "evals_per_task":
        changes["sequence"] = {"steps_per_task": 6000}
    write_run(tmp_path / "other", np.zeros((1, evaluations, 1)), ["reach-v3"], **changes)

    result = table([tmp_path])

    (problem,) = result.problems
    assert "not there: reach-v3." in problem
    assert f"other is no reference for reach-v3: {section}.{name} {value!r}, not " in problem


@pytest.mark.parametrize("other", [{"family": "custom"}, {"score": "return"}])
def test_a_run_in_another_world_or_of_another_score_is_no_reference_and_not_hidden(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    write_run(tmp_path / "runs", SUCCESS, TASKS)
    write_run(tmp_path / "other", np.zeros((1, 6, 1)), ["reach-v3"], sequence=other)

    result = table([tmp_path], [tmp_path / "other"])

    assert [section.sequence["tasks"] for section in result.sections] == [
        ["reach-v3"],
        list(TASKS),
    ]
    ((key, value),) = other.items()
    assert f"is no reference for reach-v3: sequence.{key} {value!r}, not " in result.markdown()


@pytest.mark.parametrize("reveals", ["boundaries", "nothing"])
def test_what_a_sequence_reveals_does_not_matter_to_its_references(
    tmp_path: Path, reveals: str
) -> None:
    told = {"reveals": reveals, "score_range": [0, 2]}
    write_run(tmp_path / "run", SUCCESS, TASKS, sequence=told)
    write_references(tmp_path / "references")

    result = table([tmp_path])

    assert result.problems == []
    assert row(result)["forward_transfer"]["value"] == pytest.approx(0.1701926385, abs=5e-11)


def test_a_reference_is_as_long_as_the_task_wherever_it_stands(tmp_path: Path) -> None:
    lengths = {"steps_per_task": [600, 6000, 6000]}
    write_run(tmp_path / "run", SUCCESS, TASKS, sequence=lengths)
    write_references(tmp_path / "references")

    (problem,) = table([tmp_path]).problems

    assert "not there: hammer-v3." in problem
    assert problem.endswith("for hammer-v3: sequence.steps_per_task 6000, not 600.")
    write_references(tmp_path / "short", TASKS[:1], sequence={"steps_per_task": 600})
    assert table([tmp_path]).problems == []


def test_worlds_are_compared_task_by_task(tmp_path: Path) -> None:
    worlds = ["Pendulum-v1?g=1", "Pendulum-v1?g=2", "Pendulum-v1?g=3"]
    told: dict[str, Any] = {"family": "gymnasium"}
    write_run(tmp_path / "run", SUCCESS, TASKS, sequence={**told, "worlds": worlds})
    for task, name in enumerate(TASKS):
        world = worlds[min(task, 1)]  # the last one is another task's
        curves = random_success(2, 6, 1)
        write_run(tmp_path / name, curves, [name], sequence={**told, "worlds": [world]})

    (problem,) = table([tmp_path]).problems

    assert "not there: reach-v3." in problem
    assert problem.endswith("sequence.worlds 'Pendulum-v1?g=2', not 'Pendulum-v1?g=3'.")


def test_a_task_of_two_lengths_has_no_reference(tmp_path: Path) -> None:
    tasks = ("push-v3", "push-v3")
    lengths = {"steps_per_task": [6000, 600]}
    write_run(tmp_path / "run", random_success(2, 6, 2), tasks, sequence=lengths)
    write_references(tmp_path / "references", ("push-v3",))

    (problem,) = table([tmp_path]).problems

    assert problem.endswith("for push-v3: sequence.steps_per_task 6000, not 600.")


def test_other_learner_differences_are_listed(tmp_path: Path) -> None:
    write_run(tmp_path / "ewc", SUCCESS, TASKS, method={"name": "ewc"}, learner={"batch_size": 512})
    write_run(tmp_path / "finetuning", SUCCESS, TASKS)
    write_references(tmp_path / "references", learner={"batch_size": 128})

    text = table([tmp_path]).markdown()

    assert (
        "* ewc: Settings that the references do not share: batch_size 512 (references: 128)."
    ) in text
    assert text.count("0.17 [0.10, 0.23]") == 2


def test_the_closest_reference_is_taken_and_a_tie_refused(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs / "run", SUCCESS, TASKS)
    write_references(tmp_path / "same")
    write_references(tmp_path / "wide", learner={"batch_size": 512})
    write_references(tmp_path / "wider", learner={"batch_size": 1024})

    chosen = row(table([runs], [tmp_path / "same", tmp_path / "wide"]))
    directories = chosen["forward_transfer"]["reference_directories"]["push-v3"]
    assert directories == [str(tmp_path / "same" / "push-v3")]
    with pytest.raises(ConfigError, match="wide/hammer-v3 and .*wider/hammer-v3"):
        table([runs], [tmp_path / "wide", tmp_path / "wider"])


def test_references_are_cut_to_the_smallest_number_of_seeds(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references")
    better = np.ones((3, 6, 1))
    write_run(tmp_path / "more", better, ["push-v3"], seeds=(2, 3, 4))

    result = table([tmp_path])

    assert row(result)["forward_transfer"]["value"] == pytest.approx(0.1701926385, abs=5e-11)
    assert "2 seeds of every reference are used, the smallest n." in result.markdown()


def test_an_unfinished_reference_is_not_used_and_named(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SUCCESS, TASKS)
    write_references(tmp_path / "references", state="running")

    result = table([tmp_path])

    assert sum("not used as a reference" in problem for problem in result.problems) == 3
    assert row(result)["forward_transfer"]["value"] is None


def test_single_task_runs_alone_are_measured(tmp_path: Path) -> None:
    write_references(tmp_path)

    result = table([tmp_path])

    assert [section.sequence["tasks"] for section in result.sections] == [[t] for t in TASKS]
    assert row(result)["performance"]["value"] == pytest.approx(REFERENCES[:, 0].mean())
    assert row(result)["backward_transfer"]["value"] is None
