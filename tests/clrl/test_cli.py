import subprocess
import sys
from pathlib import Path

import pytest

from clrl import errors
from clrl.cli import COMMANDS, main

pytestmark = pytest.mark.usefixtures("empty_directory")


def test_help_and_lists_do_not_import_torch() -> None:
    code = (
        "import sys; from clrl.cli import main\n"
        "for words in ([], ['list', 'tasks'], ['list', 'sequences']): assert main(words) == 0\n"
        "assert not {'torch', 'metaworld', 'matplotlib', 'wandb'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Continual reinforcement learning:")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_without_a_command_all_commands_are_shown(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == errors.OK
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in COMMANDS)


@pytest.mark.slow
def test_a_run_is_trained_listed_and_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train", "ewc", "--sequence", "drawer-close-v3,push-v3", "--steps-per-task", "120",
        "--evals-per-task", "2", "--sac.exploration-steps", "40", "--sac.learning-starts", "20",
        "--sac.hidden-sizes", "8", "8", "--stochastic-episodes", "1", "--horizon", "20",
        "--log-every", "60", "--out", "run",
    ]  # fmt: skip
    assert main(words) == errors.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 0: task 0 (drawer-close-v3) starts"
    assert lines[-1] == "run: complete"
    assert (tmp_path / "run" / "log.txt").read_text().splitlines() == lines[:-1]
    assert main(words) == errors.OK
    assert capsys.readouterr().out == "run: was complete already\n"
    assert main(["evaluate", "run", "--task", "1", "--episodes", "2"]) == errors.OK
    assert capsys.readouterr().out.splitlines()[1].startswith("task  1 push-v3")
    assert main(["evaluate", "run", "--task", "2"]) == errors.CONFIG
    assert "--task 2 is not in 0..1" in capsys.readouterr().err
    assert main(["table", "run", "--strict"]) == errors.INCOMPLETE  # it has no references
