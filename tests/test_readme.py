"""What the README tells people to type works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from clrl import cli, errors
from clrl.agents.classifier import Classifier
from clrl.envs.sequence import TaskSequence
from clrl.envs.streams import ToyStream

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, word: str) -> str:
    """Return the code block that holds a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return str(found)


def run(text: str, names: dict[str, Any]) -> dict[str, Any]:
    """Execute a block as a user's own module would; this file's future imports do not count."""
    exec(compile(text, "README.md", "exec", dont_inherit=True), names)
    return names


def test_the_example_with_own_environments_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(block("python", "def sequence()"), {})
    assert "| ewc |" in capsys.readouterr().out
    assert (tmp_path / "runs/pendulum/metrics.jsonl").exists()


def test_the_example_method_moves_weights_back_by_its_share() -> None:
    names = run(block("python", "class Retreat"), {})

    def weights(learner: Classifier) -> np.ndarray:
        parameters = learner.protected_parameters()
        return parameters["core.layers.0.weight"].detach().numpy().copy()

    moved = []
    for share in (0.0, 0.5):
        learner = Classifier(ToyStream(), names["Retreat"](share=share))
        learner.train_task(0, 20)
        before = weights(learner)
        learner.train_task(1, 20)
        moved.append(weights(learner) - before)
    np.testing.assert_allclose(moved[1], 0.5 * moved[0], atol=1e-6)


def test_the_example_environment_is_a_sequence() -> None:
    given = {"TaskSequence": TaskSequence, "Sequence": Sequence, "partial": partial, "gym": gym}
    names = run(block("python", "def slippery_pendulum"), given)
    env = names["slippery_pendulum"]([10.0, 2.0], 3)
    env.reset(seed=0)
    for _ in range(3):
        *_, truncated, info = env.step(env.action_space.sample())
    assert truncated and info["task"] == 0
    assert env.reset()[1]["task"] == 1


def commands() -> list[str]:
    """Return the lines of the README that start with clrl."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL))
    return [line.split("#")[0].strip() for line in text.splitlines() if line.startswith("clrl")]


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    if words[0] == "train":
        assert cli.main([*dict.fromkeys([*words, "--dry-run"])]) == errors.OK
    elif words[0] == "list":
        assert cli.main(words) == errors.OK
    else:  # needs runs: understood, but there are none here
        assert cli.main(words) == errors.CONFIG
        assert cli.main([words[0], "--help"]) == errors.OK


def test_every_script_of_the_readme_exists() -> None:
    for name in re.findall(r"scripts/[\w./-]*\w", README):
        assert (ROOT / name).is_file()
