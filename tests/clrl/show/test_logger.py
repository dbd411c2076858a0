"""What a run says while it trains."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clrl.config.placement import LoggingConfig
from clrl.config.presets import base_config
from clrl.envs.schedule import Schedule
from clrl.show.logger import RunLogger

SMALL = base_config("push-v3,reach-v3", "finetuning", "small")
CONFIG = replace(SMALL, sequence=replace(SMALL.sequence, steps_per_task=18_000))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def clock(*seconds: float) -> Any:
    times: Iterator[float] = iter(seconds)
    return lambda: next(times)


def start(step: int, task: int, name: str) -> dict[str, Any]:
    return {"step": step, "task": task, "event": "task_start", "value": name}


def metrics(step: int, successes: dict[int, list[float]]) -> list[dict[str, Any]]:
    """Rows of an evaluation: success of each task and seed."""
    return [
        {
            "step": step, "task": task, "task_name": CONFIG.sequence.tasks[task], "seed": seed,
            "mode": mode, "episodes": 10, "success": success if mode == "stochastic" else 1.0,
            "success_last": None, "return": None,
        }
        for task, column in successes.items()
        for seed, success in enumerate(column)
        for mode in ("stochastic", "deterministic")
    ]  # fmt: skip


def test_without_a_terminal_every_evaluation_is_a_plain_line(tmp_path: Path) -> None:
    stream = io.StringIO()
    logger = RunLogger(CONFIG, tmp_path, stream, clock(0.0, 10.0, 180.0, 190.0))
    logger.train([start(0, 0, "push-v3")])
    logger.metrics(metrics(1500, {0: [0.5, 0.3], 1: [0.0, 0.2]}))
    logger.metrics(metrics(18_000, {0: [1.0, 0.8]}))
    logger.train([start(18_000, 1, "reach-v3")])
    logger.close()
    lines = [
        "step 0: task 0 (push-v3) starts",
        "step 1,500 of 36,000 | task 0 push-v3: success 0.40 | mean 0.25 of 0.40 0.10"
        " | 150 steps/s | 4 min left",
        "step 18,000 of 36,000 | task 0 push-v3: success 0.90 | 100 steps/s | 3 min left",
        "step 18,000: task 1 (reach-v3) starts",
    ]
    assert stream.getvalue().splitlines() == lines
    assert (tmp_path / "log.txt").read_text().splitlines() == lines


def test_a_continued_run_adds_to_the_log_and_measures_its_own_speed(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    stream = io.StringIO()
    logger = RunLogger(CONFIG, tmp_path, stream, clock(100.0, 110.0))
    logger.train([{"step": 35_000, "task": 1, "seed": 0, "episodes": 0, "return_mean": None}])
    logger.metrics(metrics(36_000, {1: [float("nan"), 0.5]}))
    logger.close()
    line = "step 36,000 of 36,000 | task 1 reach-v3: success nan | 100 steps/s | done"
    assert stream.getvalue().splitlines() == [line]
    assert (tmp_path / "log.txt").read_text().splitlines() == ["before", line]


def test_nothing_is_opened_before_the_first_row(tmp_path: Path) -> None:
    RunLogger(CONFIG, tmp_path / "not-there", io.StringIO()).close()
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_without_rows_says_nothing(tmp_path: Path) -> None:
    stream = io.StringIO()
    RunLogger(CONFIG, tmp_path, stream).metrics([])
    assert stream.getvalue() == ""


def test_on_a_terminal_a_bar_shows_task_speed_and_time_left(tmp_path: Path) -> None:
    stream = Terminal()
    logger = RunLogger(CONFIG, tmp_path, stream, clock(0.0, 60.0, 60.0))
    logger.train([start(0, 0, "push-v3")])
    row = {"step": 6_000, "task": 0, "seed": 0, "episodes": 3, "return_mean": 1.0}
    logger.train([row])
    logger.close()
    shown = stream.getvalue()
    assert "step 0: task 0 (push-v3) starts" in shown
    assert "17 %" in shown
    assert "task 0 push-v3 | 100 steps/s | 5 min left" in shown
    assert "\x1b" not in (tmp_path / "log.txt").read_text()


def test_a_reader_that_is_gone_does_not_end_the_run(tmp_path: Path) -> None:
    logger = RunLogger(CONFIG, tmp_path, Closed())
    logger.train([start(0, 0, "push-v3")])
    logger.train([start(18_000, 1, "reach-v3")])
    logger.close()
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2


def measured_by(score: str, lengths: int | list[int], interleaved: bool = False) -> Any:
    """What the logger reads of a configuration."""
    tasks = ("short", "long")
    return SimpleNamespace(
        sequence=SimpleNamespace(tasks=tasks, schedule=Schedule(tasks, lengths), score=score),
        method=SimpleNamespace(interleaved=interleaved),
        logging=LoggingConfig(),
    )


def scored(step: int, task: int, **numbers: float | None) -> list[dict[str, Any]]:
    """Rows of one seed; a number that is not given is not known."""
    known = {"success": None, "success_last": None, "return": None}
    return [
        {"step": step, "task": task, "task_name": "x", "seed": 0, "mode": mode, "episodes": 2,
         **known, **numbers}
        for mode in ("stochastic", "deterministic")
    ]  # fmt: skip


def said(config: Any, directory: Path, *evaluations: list[dict[str, Any]]) -> list[str]:
    stream = io.StringIO()
    logger = RunLogger(config, directory, stream, lambda: 0.0)
    for rows in evaluations:
        logger.metrics(rows)
    logger.close()
    return [line.removesuffix(" | - steps/s") for line in stream.getvalue().splitlines()]


def test_returns_are_said_where_they_are_the_score(tmp_path: Path) -> None:
    rows = scored(100, 0, **{"return": -1234.567}) + scored(100, 1, **{"return": 20.0})
    assert said(measured_by("return", 1000), tmp_path, rows) == [
        "step 100 of 2,000 | task 0 short: return -1234.57 | mean -607.28 of -1234.57 20.00"
    ]


def test_accuracy_is_that_of_the_deterministic_lines(tmp_path: Path) -> None:
    rows = scored(100, 0, accuracy=0.25)
    rows[0]["accuracy"] = 0.75
    line = "step 100 of 2,000 | task 0 short: accuracy 0.25"
    assert said(measured_by("accuracy", 1000), tmp_path, rows) == [line]


def test_what_is_not_known_is_said_to_be_no_number(tmp_path: Path) -> None:
    line = "step 100 of 2,000 | task 0 short: success nan"
    assert said(measured_by("success", 1000), tmp_path, scored(100, 0)) == [line]


def test_returns_are_said_where_no_success_is_reported(tmp_path: Path) -> None:
    line = "step 100 of 2,000 | task 0 short: return -3.00"
    rows = scored(100, 0, **{"return": -3.0})
    assert said(measured_by("success", 1000), tmp_path, rows) == [line]
    rows[0]["success"] = 0.0
    line = "step 100 of 2,000 | task 0 short: success 0.00"
    assert said(measured_by("success", 1000), tmp_path, rows) == [line]


def test_the_current_task_is_that_of_the_schedule(tmp_path: Path) -> None:
    config = measured_by("success", [10, 990])
    rows = [scored(step, task, success=0.5) for step, task in ((10, 0), (20, 1), (1000, 1))]
    assert said(config, tmp_path, *rows) == [
        "step 10 of 1,000 | task 0 short: success 0.50",
        "step 20 of 1,000 | task 1 long: success 0.50",
        "step 1,000 of 1,000 | task 1 long: success 0.50",
    ]


def test_interleaved_tasks_are_said_together(tmp_path: Path) -> None:
    rows = scored(10, 0, success=0.5) + scored(10, 1, success=1.0)
    assert said(measured_by("success", [10, 990], interleaved=True), tmp_path, rows) == [
        "step 10 of 1,000 | all tasks: success 0.75 of 0.50 1.00"
    ]


def test_what_is_said_before_the_first_row_comes_first_in_the_log(tmp_path: Path) -> None:
    stream = io.StringIO()
    logger = RunLogger(CONFIG, tmp_path, stream, clock(0.0))
    logger.say("device cpu")
    logger.say("an episode ends after 1,000 steps")
    assert list(tmp_path.iterdir()) == []  # the directory may yet be refused
    logger.train([start(0, 0, "push-v3")])
    logger.say("and later")
    logger.close()
    said = ["device cpu", "an episode ends after 1,000 steps",
            "step 0: task 0 (push-v3) starts", "and later"]  # fmt: skip
    assert (tmp_path / "log.txt").read_text().splitlines() == said == stream.getvalue().splitlines()


def test_a_run_that_never_starts_writes_no_log(tmp_path: Path) -> None:
    logger = RunLogger(CONFIG, tmp_path / "refused", io.StringIO())
    logger.say("device cpu")
    logger.close()
    assert list(tmp_path.iterdir()) == []
