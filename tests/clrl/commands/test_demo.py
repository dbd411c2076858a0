import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clrl import errors
from clrl.commands import demo
from clrl.commands.demo import Scores, sentences
from clrl.commands.flags import look
from clrl.commands.train import defaults, options_of
from clrl.machine import jobs
from clrl.machine.jobs import Job
from clrl.machine.resources import need
from tests.clrl.synthetic import write_run


def test_every_job_of_the_demo_is_a_valid_run_with_its_own_directory(tmp_path: Path) -> None:
    found = demo.jobs(tmp_path)
    configs = [defaults(look(job.command[len(demo.TRAIN) :])) for job in found]
    assert [config.method_name for config in configs] == [*demo.SHOWN, *["finetuning"] * 3]
    assert [config.sequence.tasks for config in configs[3:]] == [(task,) for task in demo.TASKS]
    assert len({job.command[job.command.index("--out") + 1] for job in found}) == len(found)


def test_no_run_of_the_demo_takes_more_memory_than_is_said(tmp_path: Path) -> None:
    commands = [job.command[len(demo.TRAIN) :] for job in demo.jobs(tmp_path)]
    needs = [need(options_of(look(words), words).run).total for words in commands]
    assert 0.9 * demo.RUN_BYTES < max(needs) <= demo.RUN_BYTES


@pytest.mark.parametrize(
    ("cores", "gib", "at_once", "why"),
    [(2, 64, 2, "2 cores"), (16, 64, 6, "no more"), (16, 8, 3, "memory"), (1, 64, 1, "1 core")],
)
def test_the_demo_runs_as_many_at_once_as_the_machine_allows(
    cores: int, gib: int, at_once: int, why: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(jobs, "usable_cores", lambda: cores)
    monkeypatch.setattr(jobs, "available_memory", lambda: gib * 2**30)
    started: list[tuple[list[str], int]] = []

    def run_all(waiting: list[Job], at_once: int, stop_at_failure: bool) -> list[Job]:
        started.append(([job.name for job in waiting], at_once))
        assert stop_at_failure
        return []

    monkeypatch.setattr(demo, "run_all", run_all)
    monkeypatch.setattr(demo, "show", lambda out: None)
    assert demo.demo(tmp_path) == errors.OK
    assert started == [(["packnet", "ewc", "finetuning", *demo.TASKS], at_once)]
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{at_once} run") and why in first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_children_and_exits_75(number: int, tmp_path: Path) -> None:
    code = """
import sys
from clrl import cli
from clrl.commands import demo
child = "import time, pathlib, os; pathlib.Path(str(os.getpid())).touch(); time.sleep(60)"
child += "; pathlib.Path('slept').touch()"
demo.how_many = lambda *_: (2, "two at once")
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


NAN = float("nan")


def made(
    performance: float, forgetting: float, transfer: float, *tasks: tuple[float, float]
) -> Scores:
    named = tuple((f"task-{k}", before, after) for k, (before, after) in enumerate(tasks))
    return Scores(performance, forgetting, transfer, named)


KEEPS = made(0.80, 0.02, 0.25, (1.0, 0.98), (0.5, 0.5))
LOSES = made(0.40, 0.50, -0.10, (1.0, 0.15), (0.3, 0.15))
EVEN = made(0.80, 0.0, 0.25, (1.0, 1.0), (0.6, 0.6))
GAINS = made(0.9, -0.15, -0.3, (0.6, 0.9), (0.9, 0.9))
BOTH_WAYS = made(0.7, 0.0, 0.0, (0.9, 0.6), (0.4, 0.7))
NOTHING = made(0.0, 0.0, 0.0, (0.0, 0.0), (0.0, 0.0))


def test_the_sentences_say_what_the_numbers_say() -> None:
    assert sentences({"finetuning": LOSES, "packnet": KEEPS}) == [
        "After the last task packnet does best: it succeeds in 80% of the episodes, averaged over "
        "tasks; finetuning forgets most: from the end of a task's training to the end of the run "
        "success falls from 1.00 to 0.15 (task-0) and from 0.30 to 0.15 (task-1).",
        "Forward transfer runs from -0.10 (finetuning) to +0.25 (packnet): at best tasks are "
        "learned faster than from scratch.",
    ]


@pytest.mark.parametrize(
    ("found", "first", "second"),
    [
        ({"a": KEEPS}, "a does best: it succeeds in 80% .* no method forgets more than 5 points of "
         "success on any task", r"Forward transfer is \+0.25: on average .* faster"),
        ({"a": KEEPS, "b": EVEN}, "all methods do equally well: they succeed in 80%",
         r"is \+0.25 for all methods: on average"),
        ({"a": KEEPS, "b": EVEN, "c": LOSES}, "a and b do best: they succeed in 80%",
         r"from -0.10 \(c\) to \+0.25 \(a, b\): at best"),
        ({"a": GAINS, "b": EVEN}, "a does best: it succeeds in 90% .* no method forgets",
         r"from -0.30 \(a\) to \+0.25 \(b\)"),
        ({"a": GAINS}, "no method forgets more than 5 points of success on any", "no faster than"),
        ({"a": BOTH_WAYS, "b": GAINS}, "no method forgets more than 5 points of success on "
         r"average, but one task of a falls from 0.90 to 0.60 \(task-0\)", "no faster"),
        ({"a": LOSES, "b": LOSES, "c": EVEN}, r"a and b forget most: .* with a from 1.00 to 0.15 "
         r"\(task-0\) and .*; with b from 1.00", "faster"),
        ({"a": NOTHING, "b": NOTHING}, "no method succeeds in any episode; no method forgets",
         r"is \+0.00 for all methods: on average tasks are learned no faster"),
        ({"a": made(0.8, 0.0, NAN, (1, 1)), "b": EVEN}, "do equally well", "not defined for a: "),
        ({"a": made(0.8, 0.0, NAN), "b": made(0.7, 0.0, NAN)}, "a does best", "for a and b: "),
    ],
)  # fmt: skip
def test_the_sentences_turn_with_the_numbers(
    found: dict[str, Scores], first: str, second: str
) -> None:
    kept, helped = sentences(found)
    assert re.search(first, kept) and re.search(second, helped), (kept, helped)
    assert "nan" not in kept + helped and kept.endswith(".") and helped.endswith(".")


def test_without_a_row_there_is_nothing_to_say() -> None:
    assert sentences({}) == []


def test_the_sentences_are_read_off_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that is learned late in its block and lost slowly afterwards."""
    curve = [0, 0, 0, 0.1, 0.9, 1, 0.9, 0.5, 0.2, 0.2, 0.2, 0.1, 0, 0, 0.2, 0, 0.1, 0.15]
    success = np.zeros((2, 18, 3))
    success[:, :, 0] = curve
    write_run(tmp_path / "finetuning", success, demo.TASKS)
    kept = success.copy()
    kept[:, 6:, 0] = 1.0
    write_run(tmp_path / "packnet", kept, demo.TASKS, method={"name": "packnet"})
    for name in demo.TASKS:
        write_run(tmp_path / "references" / name, np.full((2, 6, 1), 0.2), [name])

    demo.show(tmp_path)

    first = capsys.readouterr().out.splitlines()[-2]
    assert "packnet does best: it succeeds in 33% of the episodes" in first
    assert "finetuning forgets most: " in first
    assert first.endswith("success falls from 1.00 to 0.15 (drawer-close-v3).")
