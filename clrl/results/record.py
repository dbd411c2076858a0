"""Files of JSON lines: written by a run line by line, read back without what a kill left torn."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clrl.errors import DamagedData

METRICS_FILE = "metrics.jsonl"
TRAIN_FILE = "train.jsonl"


class Record:
    """An append-only file of JSON lines that survives a kill at any moment.

    Every line carries `seq`, its number from 0. A last line without a newline is what a kill
    leaves of a write: opening the file for writing cuts it off.

    Attributes:
        size: length of the file in bytes.
        seq: number of the next line.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.size, self.seq = _complete_lines(self.path)
        self._file = open(self.path, "ab", buffering=0)
        self._file.truncate(self.size)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, each with its `seq` in front, and return once they are on the disk.

        Raises:
            ValueError: a number is not finite, which JSON has no word for; nothing is written.
            OSError: the disk refused; the file is as it was before the call.
        """
        lines = [
            json.dumps({"seq": self.seq + i, **row}, allow_nan=False) + "\n"
            for i, row in enumerate(rows)
        ]
        data = memoryview("".join(lines).encode())
        end = self.size + len(data)
        try:
            while data:  # an unbuffered write may take less than it is given
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except BaseException:  # a full disk, but also a signal between two writes
            self._file.truncate(self.size)
            raise
        self.size, self.seq = end, self.seq + len(rows)

    def truncate_to(self, size: int, seq: int) -> None:
        """Go back to an earlier state of the file, for a run that resumes from a checkpoint.

        Args:
            size: the earlier `size` in bytes.
            seq: the earlier `seq`.

        Raises:
            DamagedData: the file does not hold `seq` whole lines in its first `size` bytes.
        """
        with open(self.path, "rb") as file:
            head = file.read(size)
        whole = not head or head.endswith(b"\n")
        if len(head) != size or not whole or head.count(b"\n") != seq:
            raise DamagedData(
                f"{self.path}: the checkpoint needs its first {seq} lines ({size} bytes), "
                f"but the file has {self.seq} lines ({self.size} bytes)"
            )
        self._file.truncate(size)
        os.fsync(self._file.fileno())
        self.size, self.seq = size, seq

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _complete_lines(path: Path) -> tuple[int, int]:
    """Return bytes and number of a file's lines that end in a newline; (0, 0) without a file."""
    size = end = lines = 0
    if path.exists():
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                lines += block.count(b"\n")
                if b"\n" in block:
                    end = size + block.rindex(b"\n") + 1
                size += len(block)
    return end, lines


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield numbers (from 1) and contents of the lines, without a torn last one.

    Raises:
        DamagedData: a line that is no JSON object.
    """
    torn: int | None = None
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if torn:
                raise DamagedData(f"{path}: line {torn} is not JSON")
            try:
                row = json.loads(line.decode())
            except ValueError:
                torn = number  # fine if it is the last
                continue
            if not isinstance(row, dict):
                raise DamagedData(f"{path}: line {number} is not a JSON object")
            yield number, row
