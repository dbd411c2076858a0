import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clrl import demo, errors
from clrl.demo import Job, Scores, run_all, sentences
from clrl.flags import look
from clrl.train import defaults


class Python(Job):
    """A job that runs a line of Python instead of `clrl train`."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", *self.words]


def test_every_job_of_the_demo_is_a_valid_run_with_its_own_directory(tmp_path: Path) -> None:
    found = demo.jobs(tmp_path)
    configs = [defaults(look(job.words)) for job in found]
    assert [config.method_name for config in configs] == [*demo.METHODS, *["finetuning"] * 3]
    assert [config.sequence.tasks for config in configs[3:]] == [(task,) for task in demo.TASKS]
    assert len({job.words[job.words.index("--out") + 1] for job in found}) == len(found)


def test_jobs_run_two_at_a_time_and_their_lines_carry_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = "import time; print(time.time()); time.sleep(0.3); print(time.time())"
    assert run_all([Python(name, (code,)) for name in "abcd"]) is None
    spans: dict[str, list[float]] = {}
    for line in capsys.readouterr().out.splitlines():
        name, when = line.split()
        spans.setdefault(name, []).append(float(when))
    assert sorted(spans) == list("abcd")
    for begin, _ in spans.values():
        assert sum(first <= begin <= last for first, last in spans.values()) <= 2


def test_a_failed_job_ends_the_others_and_keeps_its_last_lines() -> None:
    long = Python("long", ("import time; time.sleep(60)",))
    bad = Python("bad", ("print('so bad'); raise SystemExit(70)",))
    begin = time.monotonic()
    failed = run_all([long, bad])
    assert failed is bad and bad.code() == 70 and list(bad.last) == ["so bad"]
    assert time.monotonic() - begin < 10
    assert long.code() not in (None, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_children_and_exits_75(number: int, tmp_path: Path) -> None:
    code = """
import sys
from clrl import demo
class Python(demo.Job):
    def command(self):
        return [sys.executable, "-c", *self.words]
child = "import time, pathlib, os; pathlib.Path(str(os.getpid())).touch(); time.sleep(60)"
demo.jobs = lambda out: [Python("a", (child,)), Python("b", (child,))]
sys.exit(demo.demo(None))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == errors.INTERRUPTED
    assert "clrl: interrupted; `clrl demo` again goes on" in err
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
