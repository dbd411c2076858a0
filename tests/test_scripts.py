"""The scripts behind numbers, most with a `clrl` that only notes how it was called."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.commands import demo
from clrl.commands.flags import look, parse
from clrl.commands.train import Train, defaults
from clrl.envs.metaworld.tasks import SEQUENCES

CW20 = Path(__file__).parents[1] / "scripts" / "cw20"
FAKE = """#!/bin/sh
echo "$*" >> "{calls}"
case "$* " in *"{refused} "*) echo "clrl: refused" >&2; exit 78 ;; esac
case "$*" in *--dry-run*) exit 0 ;; "train {failing} "*) echo "clrl: broken"; exit 70 ;; esac
"""


@dataclass
class Done:
    """What a script did."""

    returncode: int
    stdout: str
    stderr: str


class Fake:
    """A folder with a `clrl` that writes its arguments down, first on the PATH."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.calls = root / "calls"
        self.clrl = root / "bin" / "clrl"
        self.clrl.parent.mkdir()
        self.set()
        monkeypatch.chdir(root)
        monkeypatch.setenv("PATH", f"{self.clrl.parent}{os.pathsep}{os.environ['PATH']}")
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def set(self, failing: str = "nothing", refused: str = "nothing") -> None:
        """Let a method fail, and a word be refused."""
        text = FAKE.format(calls=self.calls, failing=failing, refused=refused)
        self.clrl.write_text(text)
        self.clrl.chmod(0o755)

    def here(self, script: str, *words: str) -> Done:
        """Run a script in this process, where torch is imported already."""
        self._monkeypatch.setattr(sys, "argv", [script, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(CW20 / script), run_name="__main__")
        assert isinstance(end.value.code, int)
        return Done(end.value.code, *self._capfd.readouterr())

    def lines(self) -> list[list[str]]:
        """The words of every call so far; then none."""
        lines = [line.split() for line in self.calls.read_text().splitlines()]
        self.calls.unlink()
        return lines


@pytest.fixture
def fake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Fake:
    return Fake(tmp_path, monkeypatch, capfd)


def start(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def value(words: list[str], flag: str) -> str:
    """What clrl takes: of a flag given twice, the last."""
    return words[len(words) - words[::-1].index(flag)]


@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_one_valid_command_for_every_method(method: str) -> None:
    words = runpy.run_path(str(CW20 / "row.py"))["command"]([method, "--seeds", "0..4"])
    assert words[0] == "train" and words[-2:] == ["--seeds", "0..4"]
    config = defaults(look(words[1:]))
    assert config.method_name == method and config.sequence.steps_per_task == 1_000_000
    tasks = SEQUENCES["CW10" if METHODS[method].interleaved else "CW20"]
    assert config.sequence.tasks == tasks


def test_the_script_of_a_row_passes_flags_on(fake: Fake) -> None:
    done = start(CW20 / "row.sh", "multitask", "--seeds", "0..4", "--out", "a b")
    assert (done.returncode, done.stderr) == (0, "")
    flags = "--sequence CW10 --seeds 0..4 --out a b".split()
    assert fake.lines() == [["train", "multitask", *flags]]


def test_a_row_that_is_none_is_refused(fake: Fake) -> None:
    done = fake.here("row.py", "ecw")
    assert done.returncode == errors.CONFIG
    assert done.stderr == "row.sh: unknown method 'ecw'; did you mean 'ewc'?\n"
    assert fake.here("row.py").returncode == errors.CONFIG
    assert "usage: scripts/cw20/row.sh METHOD" in fake.here("row.py", "--help").stdout


def test_references_are_all_tasks_of_cw10_one_after_the_other(fake: Fake) -> None:
    assert start(CW20 / "references.sh", "--seeds", "0..9").returncode == 0
    lines = fake.lines()
    assert [value(words, "--sequence") for words in lines] == list(SEQUENCES["CW10"])
    assert {words[1] for words in lines} == {"finetuning"}
    fake.set(failing="finetuning")
    assert start(CW20 / "references.sh").returncode == errors.FAULT


def test_the_small_preset_runs_every_row_on_the_demo_s_tasks(fake: Fake) -> None:
    done = fake.here(
        "all.py", "--preset", "small", "--seeds", "0..2", "--out", "o", "--threads", "1"
    )
    assert done.returncode == 0, done.stderr
    check, *trained, table, plot = fake.lines()
    assert "--dry-run" in check
    assert table == ["table", "o", "--published"] and plot == ["plot", "o", "--out", "o/plots"]
    assert {words[1] for words in trained} == set(METHODS) and len(trained) == len(METHODS) + 3
    outs = [value(words, "--out") for words in trained]
    assert set(outs) == {f"o/{row}" for row in METHODS} | {f"o/references/{t}" for t in demo.TASKS}
    for words, out in zip(trained, outs, strict=True):
        config = defaults(look(words[1:]))
        task = out.removeprefix("o/references/")
        assert config.sequence.tasks == ((task,) if task in demo.TASKS else demo.TASKS)
        flags = ("--steps-per-task", "--evals-per-task", "--seeds", "--threads")
        assert [value(words, flag) for flag in flags] == ["20000", "8", "0..2", "1"]
    (packnet,) = [words for words in trained if words[1] == "packnet"]
    base = defaults(look(packnet[1:]))
    config = parse(Train, "", packnet[2:], Train(base)).run
    assert getattr(config.method, "retrain_steps", None) == 2_000
    assert config.sequence.steps_per_task == 20_000 and config.seeds == (0, 1, 2)


def test_without_a_preset_the_budget_is_the_published_one(fake: Fake) -> None:
    done = fake.here("all.py", "--dry-run")
    assert done.returncode == 0 and fake.lines()[0][-1] == "--dry-run"
    commands = [line.split() for line in done.stdout.splitlines()]
    rows = [words[1:3] + [value(words, "--sequence")] for words in commands[: len(METHODS)]]
    assert rows == [
        ["train", row, "CW10" if kind.interleaved else "CW20"] for row, kind in METHODS.items()
    ]
    assert [words[1] for words in commands[len(METHODS) :]] == list(SEQUENCES["CW10"])
    assert not any("--steps-per-task" in words for words in commands)


def test_a_row_that_fails_does_not_stop_the_others(fake: Fake) -> None:
    fake.set(failing="ewc")
    done = fake.here("all.py", "--sequence", "reach-v3,push-v3", "--jobs", "4")
    assert done.returncode == errors.INCOMPLETE
    assert done.stderr == "ewc ended with code 70: clrl: broken\n"
    assert f"{len(METHODS) + 1} of {len(METHODS) + 2} runs are complete" in done.stdout
    lines = fake.lines()
    assert len(lines) == 1 + len(METHODS) + 2 + 2 and lines[-2][0] == "table"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--refused",), "clrl: refused"),
        (("--jobs", "0"), "all.sh: --jobs is 0; it must be at least 1"),
        (("--preset", "smal"), "all.sh: argument --preset: invalid choice: 'smal'"),
        (("--sequence", "CW30"), "all.sh: unknown task 'CW30'; did you mean 'CW20'?"),
    ],
)
def test_a_wrong_flag_ends_with_a_sentence(
    words: tuple[str, ...], sentence: str, fake: Fake
) -> None:
    fake.set(refused="--refused")
    done = fake.here("all.py", *words)
    assert done.returncode == errors.CONFIG
    assert done.stderr.startswith(sentence) and done.stdout == ""


def test_the_help_says_what_it_runs() -> None:
    done = start(CW20 / "all.sh", "--help")
    assert done.returncode == 0 and "--steps-per-task" in done.stdout


@pytest.mark.parametrize("script", ["cw10.sh ewc", "single_task.sh push-v3"])
def test_a_dry_run_of_a_script_says_what_it_costs(script: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        f"sh {CW20.parent}/{script} --dry-run --seeds 0..1", shell=True, text=True, timeout=60,
        capture_output=True, env={"PATH": path}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "steps_per_task: 1000000" in done.stdout
    assert "seeds: [0, 1]" in done.stdout
    assert "hours on this CPU" in done.stdout
    assert list(tmp_path.iterdir()) == []
