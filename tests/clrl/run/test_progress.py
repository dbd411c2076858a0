import json
import math
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clrl.results.record import Record
from clrl.results.tables import table
from clrl.run.progress import Progress
from clrl.run.protocol import Silent, train
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


tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "tiny_run.py")))


class Blown(tiny.Drift):  # type: ignore[name-defined]
    """A point whose simulation blows up in the 45th step of an episode, as it says."""

    bad = math.nan

    def step(self, action: np.ndarray) -> Any:
        obs, reward, terminated, _, info = super().step(action)
        if self.steps < 45:
            return obs, reward, terminated, False, info
        return obs, self.bad, terminated, True, {**info, "sim_warning": True}


class Endless(Blown):
    bad = math.inf


@pytest.mark.parametrize("world", [Blown, Endless])
def test_a_run_whose_simulations_blow_up_is_completed_and_measured(
    tmp_path: Path, world: type[Blown], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny.make_agent.__globals__, "Drift", world)
    data = train(tiny.make_agent(), tmp_path / "run", tiny.EVALUATION)

    assert np.isfinite(data.returns).all() and (data.returns < 0).all()
    for name in ("metrics.jsonl", "train.jsonl"):
        text = (tmp_path / "run" / name).read_text()
        assert "NaN" not in text and "Infinity" not in text
    (section,) = table([tmp_path]).sections
    assert len(section.rows) == 1
