import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clrl.results.record import Record
from clrl.run.progress import Progress
from clrl.run.protocol import Silent
from tests.clrl.rundirs import lines


def test_a_reported_number_that_is_not_defined_yet_is_null(tmp_path: Path) -> None:
    reports = {"method/importance/q99": [2.0, float("nan")], "gradient/rl": [float("inf"), 1.0]}
    record = Record(tmp_path / "train.jsonl")
    learner: Any = SimpleNamespace(seeds=(0, 3), losses_log=lambda: reports, num_timesteps=5)
    Progress(learner, record, 5, lambda step: 0, Silent()).count(())
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [row["method/importance/q99"] for row in rows] == [2.0, None]
    assert [row["gradient/rl"] for row in rows] == [None, 1.0]


def test_what_an_episode_does_not_tell_is_null_and_its_means_are_of_what_is_known(
    tmp_path: Path,
) -> None:
    record = Record(tmp_path / "train.jsonl")
    learner: Any = SimpleNamespace(seeds=(0, 3), losses_log=dict, num_timesteps=4)
    progress = Progress(learner, record, 4, lambda step: step // 3, Silent())
    silent = {"episode": {"r": 2.0, "l": 5}}
    progress.count([silent, {**silent, "is_success": True}])
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [row["success_mean"] for row in rows] == [None, 1.0]
    assert [row["return_mean"] for row in rows] == [2.0, 2.0] and rows[0]["task"] == 1


def test_a_line_between_two_episode_ends_has_no_means(tmp_path: Path) -> None:
    record = Record(tmp_path / "train.jsonl")
    learner: Any = SimpleNamespace(seeds=(0,), losses_log=dict, num_timesteps=5)
    Progress(learner, record, 5, lambda step: 0, Silent()).count([{}])
    (row,) = lines(tmp_path / "train.jsonl")
    assert (row["step"], row["episodes"], row["return_mean"]) == (5, 0, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["r", "l"])
def test_an_episode_that_is_not_finite_makes_its_mean_null_and_no_other(
    tmp_path: Path, key: str, bad: float
) -> None:
    record = Record(tmp_path / "train.jsonl")
    learner: Any = SimpleNamespace(seeds=(0, 3), losses_log=dict, num_timesteps=1)
    progress = Progress(learner, record, 2, lambda step: 0, Silent())
    sound = {"episode": {"r": 2.0, "l": 5}, "is_success": True}
    progress.count([{**sound, "episode": {**sound["episode"], key: bad}}, sound])  # type: ignore[dict-item]
    state = json.dumps(progress.state(), allow_nan=False)  # as a checkpoint has it
    progress.load_state(json.loads(state))
    learner.num_timesteps = 2
    progress.count([sound, sound])
    names = {"r": "return_mean", "l": "length_mean"}
    rows = lines(tmp_path / "train.jsonl")
    assert [row[names[key]] for row in rows] == [None, {"r": 2.0, "l": 5.0}[key]]
    assert rows[0]["success_mean"] == 1.0
    other = names["l" if key == "r" else "r"]
    assert rows[0][other] == rows[1][other]


def test_an_episode_that_does_not_say_whether_it_succeeded_did_not_if_others_did(
    tmp_path: Path,
) -> None:
    record = Record(tmp_path / "train.jsonl")
    learner: Any = SimpleNamespace(seeds=(0,), losses_log=dict, num_timesteps=1)
    progress = Progress(learner, record, 2, lambda step: 0, Silent())
    episode = {"episode": {"r": 2.0, "l": 5}}
    progress.count([{**episode, "is_success": True}])
    learner.num_timesteps = 2
    progress.count([episode])
    assert lines(tmp_path / "train.jsonl")[0]["success_mean"] == 0.5
