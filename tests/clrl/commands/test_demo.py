import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clrl import errors
from clrl.commands import demo
from clrl.commands.demo import Scores, sentences
from clrl.commands.flags import look
from clrl.commands.train import defaults


def test_every_job_of_the_demo_is_a_valid_run_with_its_own_directory(tmp_path: Path) -> None:
    found = demo.jobs(tmp_path)
    configs = [defaults(look(job.command[len(demo.TRAIN) :])) for job in found]
    assert [config.method_name for config in configs] == [*demo.SHOWN, *["finetuning"] * 3]
    assert [config.sequence.tasks for config in configs[3:]] == [(task,) for task in demo.TASKS]
    assert len({job.command[job.command.index("--out") + 1] for job in found}) == len(found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_children_and_exits_75(number: int, tmp_path: Path) -> None:
    code = """
import sys
from clrl import cli
from clrl.commands import demo
child = "import time, pathlib, os; pathlib.Path(str(os.getpid())).touch(); time.sleep(60)"
child += "; pathlib.Path('slept').touch()"
demo.jobs = lambda out: [demo.Job(name, (sys.executable, "-c", child)) for name in "ab"]
sys.exit(cli.main(["demo"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == errors.INTERRUPTED
    assert "clrl: interrupted; `clrl demo` again goes on" in err
    assert not (tmp_path / "slept").exists()
    for child in tmp_path.iterdir():
        assert not Path("/proc", child.name).exists()


def test_the_sentences_say_what_the_numbers_say() -> None:
    scores = {
        "finetuning": Scores(0.40, 0.50, -0.10),
        "packnet": Scores(0.80, 0.02, 0.25),
    }
    assert sentences(scores) == [
        "After the last task packnet does best: it succeeds in 80% of the episodes, averaged over "
        "all tasks; finetuning forgets most, 50% of success, against 2% of packnet.",
        "Forward transfer runs from -0.10 (finetuning) to +0.25 (packnet): at best, tasks are "
        "learned faster than from scratch.",
    ]


def test_the_sentences_turn_with_the_numbers() -> None:
    scores = {"finetuning": Scores(0.9, 0.01, -0.3), "ewc": Scores(0.7, 0.02, -0.4)}
    first, second = sentences(scores)
    assert first.startswith("After the last task finetuning does best: it succeeds in 90% of")
    assert first.endswith("; no method forgets more than 5 points of success.")
    assert second.endswith("(finetuning): at best, tasks are learned no faster than from scratch.")
    undefined = {"finetuning": Scores(0.9, 0.01, float("nan"))}
    assert sentences(undefined)[1].startswith("Forward transfer is not defined here")
