import sys
import time

import pytest

from clrl.machine.jobs import Job, run_all


def python(name: str, code: str) -> Job:
    """A job that runs a line of Python."""
    return Job(name, (sys.executable, "-c", code))


def test_jobs_run_two_at_a_time_and_their_lines_carry_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = "import time; print(time.time()); time.sleep(0.3); print(time.time())"
    assert run_all([python(name, code) for name in "abcd"], at_once=2) == []
    spans: dict[str, list[float]] = {}
    for line in capsys.readouterr().out.splitlines():
        name, when = line.split()
        spans.setdefault(name, []).append(float(when))
    assert sorted(spans) == list("abcd")
    for begin, _ in spans.values():
        assert sum(first <= begin <= last for first, last in spans.values()) <= 2


def test_a_failed_job_ends_the_others_and_keeps_its_last_lines() -> None:
    long = python("long", "import time; time.sleep(60)")
    bad = python("bad", "print('so bad'); raise SystemExit(70)")
    begin = time.monotonic()
    assert run_all([long, bad], at_once=2, stop_at_failure=True) == [bad]
    assert bad.code() == 70 and list(bad.last) == ["so bad"]
    assert time.monotonic() - begin < 10
    assert long.code() not in (None, 0)


def test_the_others_go_on_where_a_failure_does_not_stop_them() -> None:
    bad, good = python("bad", "raise SystemExit(1)"), python("good", "")
    assert run_all([bad, good], at_once=1) == [bad]
    assert good.code() == 0
