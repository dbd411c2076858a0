"""What a sequence reveals, from the configuration to the record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from clrl import errors
from clrl.cli import main
from clrl.config.presets import base_config
from clrl.config.run import RunConfig
from clrl.errors import ConfigError
from clrl.results.reading import read_run
from clrl.results.tables import table
from tests.clrl.rundirs import files, lines

WORLDS = "Pendulum-v1?g=10&max_episode_steps=10,Pendulum-v1?g=2&max_episode_steps=10"


def train(tmp_path: Path, method: str, reveals: str, *more: str) -> int:
    words = f"train {method} --sequence {WORLDS} --reveals {reveals} --steps-per-task 40,20"
    words += " --evals-per-task 2 --stochastic-episodes 1 --sac.hidden-sizes 8 8"
    words += " --sac.exploration-steps 10 --sac.learning-starts 10 --sac.train-freq 5"
    words += f" --sac.gradient-steps 1 --log-every 10 --seeds 0,1 --out {tmp_path / reveals}"
    return main([*words.split(), *more])


@pytest.mark.parametrize(
    ("reveals", "forced"),
    [
        ("boundaries", {"multi_head": False, "reset_buffer": True, "reset_optimizer": True}),
        ("nothing", {"multi_head": False, "reset_buffer": False, "reset_optimizer": False}),
    ],
)
def test_settings_that_cannot_apply_are_written_resolved(reveals: Any, forced: dict) -> None:
    config = base_config("CW10", "finetuning", reveals=reveals)
    learner = config.to_dict()["learner"]
    assert {name: learner[name] for name in forced} == forced
    assert RunConfig.from_dict(yaml.safe_load(config.to_yaml())) == config
    sparse = {"sequence": {"family": "metaworld", "tasks": ["push-v3"], "reveals": reveals}}
    assert RunConfig.from_dict(sparse).learner.multi_head is False


@pytest.mark.parametrize(
    ("method", "reveals", "more", "sentence"),
    [
        ("ewc", "nothing", [], "EWC needs to be told when a task ends"),
        ("packnet", "boundaries", [], "PackNet needs to be told which task it is in"),
        ("clonex", "boundaries", [], "ClonEx needs to be told which task it is in"),
        ("finetuning", "nothing", ["--sac.multi-head"], "sac.multi_head is True"),
        ("finetuning", "nothing", ["--sac.reset-buffer"], "sac.reset_buffer is True"),
        ("finetuning", "boundaries", ["--sac.no-hide-task-id"], "sac.hide_task_id is False"),
        ("finetuning", "all", [], "--reveals is 'all'; it must be task or boundaries or nothing"),
        ("multitask", "boundaries", [], "reveals is 'boundaries', but interleaved tasks have none"),
    ],
)
def test_what_needs_more_than_is_revealed_is_refused(
    tmp_path: Path, capsys: Any, method: str, reveals: str, more: list[str], sentence: str
) -> None:
    assert train(tmp_path, method, reveals, *more) == errors.CONFIG
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / reveals / "config.yaml").exists()


def test_from_yaml_a_contradiction_is_refused_too() -> None:
    values = base_config("CW10", "finetuning").to_dict()
    values["sequence"]["reveals"] = "nothing"
    with pytest.raises(ConfigError, match="sac.multi_head is True, but the sequence reveals noth"):
        RunConfig.from_dict(values)


def test_the_record_knows_the_true_task_of_an_agent_that_is_told_nothing(tmp_path: Path) -> None:
    assert train(tmp_path, "finetuning", "nothing") == errors.OK
    run = tmp_path / "nothing"
    rows = lines(run / "train.jsonl")
    events = [(row["step"], row["task"]) for row in rows if row.get("event") == "task_start"]
    assert events == [(0, 0), (40, 1)]
    assert [row["task"] for row in rows if "event" not in row][::2] == [0, 0, 0, 0, 1, 1]
    assert [path.name[:2] for path in sorted((run / "tasks").iterdir())] == ["00", "01"]
    newest = max((run / "checkpoints").glob("step-*"))
    counters = json.loads((newest / "state.json").read_text())["learner"]["counters"]
    assert counters["task"] == 0 and counters["task_step"] == 60  # one task for the agent
    data = read_run(run)
    assert data.steps.tolist() == [20, 40, 50, 60] and np.isfinite(data.returns).all()


def test_a_table_says_what_was_told_and_used(tmp_path: Path) -> None:
    for reveals in ("task", "boundaries", "nothing"):
        assert train(tmp_path, "finetuning", reveals) == errors.OK
    rows = [line for line in table([tmp_path]).markdown().splitlines() if line.startswith("| fine")]
    said = {}
    for row in rows:
        (reveals,) = re.findall(r"reveals=(\w+)", row)
        said[reveals] = row.rstrip(" |").split(" | ")[-2:]
    assert said == {"task": ["yes", "yes"], "boundaries": ["yes", "no"], "nothing": ["no", "no"]}


def test_a_run_that_is_told_nothing_goes_on_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clrl.show.logger import RunLogger

    assert train(tmp_path / "whole", "finetuning", "nothing") == errors.OK

    def stop(self: Any, rows: Any) -> None:
        if rows and rows[0]["step"] == 40:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunLogger, "metrics", stop)
        assert train(tmp_path / "cut", "finetuning", "nothing") == errors.INTERRUPTED
    assert train(tmp_path / "cut", "finetuning", "nothing") == errors.OK
    whole, cut = (files(tmp_path / name / "nothing") for name in ("whole", "cut"))
    kept = [p for p in whole if p.suffix == ".jsonl" or "step-000000060" in str(p)]
    names = [str(p.relative_to(tmp_path / "whole")) for p in kept]
    assert len(names) >= 4
    for name in names:
        assert whole[tmp_path / "whole" / name] == cut[tmp_path / "cut" / name]
