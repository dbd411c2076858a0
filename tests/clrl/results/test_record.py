"""Files of JSON lines: what is written survives."""

from pathlib import Path

import pytest

from clrl.errors import DamagedData
from clrl.results.record import Record


def test_record_numbers_its_lines_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = Record(path)
    first.append([{"a": 1}, {"a": 2}])
    first.close()

    second = Record(path)
    second.append([{"a": 3}])

    assert path.read_text() == '{"seq": 0, "a": 1}\n{"seq": 1, "a": 2}\n{"seq": 2, "a": 3}\n'
    assert (second.size, second.seq) == (path.stat().st_size, 3)


def test_record_cuts_off_a_torn_line_before_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"seq": 0}\n{"seq": 1, "succ')

    Record(path).append([{"a": 1}])

    assert path.read_text() == '{"seq": 0}\n{"seq": 1, "a": 1}\n'


def test_record_goes_back_to_a_checkpoint(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    record.append([{"a": 1}])
    size, seq = record.size, record.seq
    record.append([{"a": 2}, {"a": 3}])

    record.truncate_to(size, seq)
    record.append([{"a": 4}])

    assert record.path.read_text() == '{"seq": 0, "a": 1}\n{"seq": 1, "a": 4}\n'


@pytest.mark.parametrize(("extra", "lines"), [(30, 1), (-3, 1), (0, 2)])
def test_record_refuses_a_checkpoint_that_it_does_not_hold(
    tmp_path: Path, extra: int, lines: int
) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    record.append([{"a": 1}])
    before = record.path.read_bytes()

    with pytest.raises(DamagedData, match="metrics.jsonl: the checkpoint needs"):
        record.truncate_to(record.size + extra, lines)

    assert record.path.read_bytes() == before


def test_record_writes_nothing_of_rows_that_are_no_json(tmp_path: Path) -> None:
    record = Record(tmp_path / "metrics.jsonl")

    with pytest.raises(ValueError, match="JSON"):
        record.append([{"a": 1}, {"a": float("nan")}])

    assert (record.path.stat().st_size, record.seq) == (0, 0)


def test_record_is_as_before_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(tmp_path / "metrics.jsonl")
    record.append([{"a": 1}])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("os.fsync", full)
        record.append([{"a": 2}])
    record.append([{"a": 3}])

    assert record.path.read_text() == '{"seq": 0, "a": 1}\n{"seq": 1, "a": 3}\n'
