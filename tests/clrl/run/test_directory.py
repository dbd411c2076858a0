import dataclasses
import os
from pathlib import Path

import pytest

from clrl.config.presets import base_config
from clrl.errors import ConfigError, DamagedData
from clrl.run.directory import (
    Busy,
    RunFile,
    begun,
    check_directory,
    differences,
    differing,
    owned,
    update_of,
)

SMALL = base_config("push-v3,window-close-v3", "packnet", "small")


def test_a_directory_may_hold_the_same_run_or_nothing(tmp_path: Path) -> None:
    check_directory(SMALL, tmp_path / "new")
    check_directory(SMALL, tmp_path)
    (tmp_path / "config.yaml").write_text(SMALL.to_yaml())
    check_directory(SMALL, tmp_path)


def test_another_configuration_in_the_directory_is_named_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SMALL.to_yaml())
    learner = dataclasses.replace(SMALL.learner, learning_rate=3e-4)
    other = dataclasses.replace(SMALL, learner=learner, seeds=(0, 1))
    with pytest.raises(ConfigError) as error:
        check_directory(other, tmp_path)
    assert "learner.learning_rate: 0.001 -> 0.0003; seeds: [0] -> [0, 1]" in str(error.value)


def test_of_another_learner_only_the_name_is_shown() -> None:
    other = base_config("push-v3,window-close-v3", "packnet", "small", "ppo")
    changes = differing(SMALL.identity(), dataclasses.replace(other, parity="original").identity())
    assert changes == ["learner.name: sac -> ppo", "parity: clean -> original"]


def test_a_file_or_foreign_files_are_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        check_directory(SMALL, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        check_directory(SMALL, tmp_path / "notes.txt")


@pytest.mark.parametrize("text", ["{", "3", "- 1"])
def test_a_damaged_config_yaml_in_the_directory_is_damaged_data(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DamagedData, match=r"config\.yaml"):
        check_directory(SMALL, tmp_path)


def test_two_owners_of_a_directory_are_one_too_many(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(Busy, match=f"process {os.getpid()} on"), owned(tmp_path):
        pass
    with owned(tmp_path):
        pass


def test_a_run_has_begun_by_a_path_once_there_is_a_checkpoint(tmp_path: Path) -> None:
    RunFile(tmp_path).update(update="native")
    assert begun(tmp_path) is None and begun(tmp_path / "none") is None
    (tmp_path / "checkpoints" / "step-000000030").mkdir(parents=True)
    assert begun(tmp_path) == "native"
    RunFile(tmp_path).path.write_text("{}")
    assert begun(tmp_path) == "torch"  # a run from before there was a choice


def test_another_update_is_a_difference_in_bits() -> None:
    before, native = {"cpu_capability": "AVX2"}, {"cpu_capability": "AVX2", "update": "native"}
    assert (update_of(before), update_of(native)) == ("torch", "native")
    assert differences(before, native) == ["update torch -> native"]
    assert differences(native, native) == differences(before, {**before, "update": "torch"}) == []


def test_batches_that_are_drawn_together_are_a_difference_to_runs_from_before() -> None:
    blocks = {"update": "torch", "drawn_together": 25}
    assert differences({}, blocks) == ["batches drawn together 1 -> 25"]
    assert differences({}, {**blocks, "drawn_together": 1}) == differences(blocks, blocks) == []
