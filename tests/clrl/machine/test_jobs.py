import os
import signal
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from clrl.machine import jobs
from clrl.machine.jobs import Job, how_many, run_all, shares

GIB = 2**30


def python(name: str, code: str) -> Job:
    """A job that runs a line of Python."""
    return Job(name, (sys.executable, "-c", code))


def test_jobs_run_two_at_a_time_and_their_lines_carry_their_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Each job waits for a second one to begin, and then a little for a third one.
    code = """
import pathlib, time
file = pathlib.Path({file!r})
def note(mark):
    with file.open("a") as stream:
        stream.write(mark)
note("+")
while file.read_text().count("+") < 2:
    time.sleep(0.01)
time.sleep(0.3)
note("-")
print("done")
"""
    file = tmp_path / "order"
    assert run_all([python(name, code.format(file=str(file))) for name in "abcd"], at_once=2) == []
    running = list(accumulate({"+": 1, "-": -1}[mark] for mark in file.read_text()))
    assert len(running) == 8 and max(running) == 2
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split() for line in lines) == [[name, "done"] for name in "abcd"]


def test_a_failed_job_ends_the_others_and_keeps_its_last_lines(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    # A shell that starts the tests in the background lets their children ignore SIGINT.
    listens = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    waits = f"import pathlib, time; mark = pathlib.Path({str(begun)!r})"
    long = python("long", f"{listens}\n{waits}\nmark.touch(); time.sleep(60)")
    fails = "while not mark.exists(): time.sleep(0.01)\nprint('so bad'); raise SystemExit(70)"
    bad = python("bad", f"{waits}\n{fails}")
    assert run_all([long, bad], at_once=2, stop_at_failure=True) == [bad]
    assert bad.code() == 70 and list(bad.last) == ["so bad"]
    assert long.code() not in (None, 0, -signal.SIGKILL)  # neither at its own end nor by force


def test_the_others_go_on_where_a_failure_does_not_stop_them() -> None:
    bad, good = python("bad", "raise SystemExit(1)"), python("good", "")
    assert run_all([bad, good], at_once=1) == [bad]
    assert good.code() == 0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores 2 to 9, and 10 GiB of memory."""
    monkeypatch.setattr(jobs, "own_cores", lambda: tuple(range(2, 10)))
    monkeypatch.setattr(jobs, "usable_cores", lambda: 8)
    monkeypatch.setattr(jobs, "available_memory", lambda: 10 * GIB)


@pytest.mark.parametrize(
    ("runs", "each", "threads", "number", "sentence"),
    [
        (25, GIB, 1, 8, "8 runs at once, 1 thread each: this process may use 8 cores"),
        (25, GIB, 3, 2, "2 runs at once, 3 threads each: this process may use 8 cores"),
        (25, GIB, 9, 1, "1 run at once, 9 threads each: this process may use 8 cores"),
        (25, 3 * GIB, 1, 3, "3 runs at once, 1 thread each: 10.0 GiB of memory are free, and a run "
         "takes up to 3.0"),
        (25, 11 * GIB, 1, 1, "1 run at once, 1 thread each: 10.0 GiB of memory are free, and a run "
         "takes up to 11.0"),
        (6, GIB, 1, 6, "6 runs at once, 1 thread each: there are no more"),
    ],
)  # fmt: skip
def test_as_many_runs_go_at_once_as_cores_and_memory_allow(
    runs: int, each: int, threads: int, number: int, sentence: str, machine: None
) -> None:
    assert how_many(runs, each, threads) == (number, sentence)


def test_jobs_share_all_cores_out(machine: None) -> None:
    assert shares(8) == [(core,) for core in range(2, 10)]
    assert shares(3) == [(2, 5, 8), (3, 6, 9), (4, 7)]
    assert shares(10) == [*shares(8), (2,), (3,)]


def test_a_job_has_its_cores_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "own_cores", lambda: (5, 6))
    pinned: list[tuple[int, tuple[int, ...]]] = []
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda pid, cores: pinned.append((pid, cores)), raising=False
    )
    first, second, third = (
        python("a", ""),
        python("b", "import time; time.sleep(2)"),
        python("c", ""),
    )
    assert run_all([first, second, third], at_once=2) == []
    assert [job.cores for job in (first, second, third)] == [(5,), (6,), (5,)]
    processes = [job.process for job in (first, second, third) if job.process is not None]
    assert pinned == [(p.pid, (core,)) for p, core in zip(processes, (5, 6, 5), strict=True)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here")
def test_a_process_runs_where_it_was_put_with_one_thread(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = max(os.sched_getaffinity(0))
    monkeypatch.setattr(jobs, "own_cores", lambda: (core,))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    # The first line may be run before the process is put there.
    code = f"""
import os, time
while os.sched_getaffinity(0) != {{{core}}}:
    time.sleep(0.01)
print(os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"])
"""
    assert run_all([python("a", code)], at_once=1) == []
    assert capsys.readouterr().out.split() == ["a", "1", "1"]


def test_without_known_cores_jobs_run_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "own_cores", lambda: ())
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    job = python("a", "")
    assert run_all([job], at_once=3) == [] and job.cores == ()
