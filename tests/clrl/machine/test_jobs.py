import signal
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from clrl.machine.jobs import Job, run_all


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
