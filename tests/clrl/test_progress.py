import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from clrl.progress import Progress
from clrl.protocol import Silent
from clrl.results import Record
from clrl.signals import Signals


def test_a_reported_number_that_is_not_defined_yet_is_null(tmp_path: Path) -> None:
    reports = {"method/importance/q99": [2.0, float("nan")], "gradient/rl": [float("inf"), 1.0]}
    record, signals = Record(tmp_path / "train.jsonl"), cast(Signals, None)
    agent: Any = SimpleNamespace(seeds=(0, 3), losses_log=lambda: reports)
    progress: Any = Progress(record, 5, 10, signals, Silent())
    progress.model, progress.num_timesteps = agent, 5
    progress.start(agent)
    progress.write()
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [row["method/importance/q99"] for row in rows] == [2.0, None]
    assert [row["gradient/rl"] for row in rows] == [None, 1.0]
