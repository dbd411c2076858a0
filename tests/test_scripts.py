"""The scripts behind numbers, most with a `clrl` that only notes how it was called."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.commands import demo
from clrl.commands.flags import look, parse
from clrl.commands.train import Train, defaults
from clrl.config.presets import base_config
from clrl.envs.metaworld.tasks import SEQUENCES
from clrl.errors import ConfigError
from clrl.machine import jobs
from clrl.machine.jobs import Job
from clrl.run.directory import write_config

CW20 = Path(__file__).parents[1] / "scripts" / "cw20"
FAKE = """#!/bin/sh
echo "$*" >> "{calls}"
case "$*" in "train {failing} "*) echo "clrl: broken"; exit 70 ;; esac
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

    def set(self, failing: str = "nothing") -> None:
        """Let a method fail."""
        text = FAKE.format(calls=self.calls, failing=failing)
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
    *trained, table, plot = fake.lines()
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
    assert done.returncode == 0 and not fake.calls.exists()
    commands = [line.split() for line in done.stdout.splitlines()]
    rows = [words[1:3] + [value(words, "--sequence")] for words in commands[: len(METHODS)]]
    assert rows == [
        ["train", row, "CW10" if kind.interleaved else "CW20"] for row, kind in METHODS.items()
    ]
    references = commands[len(METHODS) :]
    assert [value(words, "--sequence") for words in references] == list(SEQUENCES["CW10"])
    assert {words[2] for words in references} == {"finetuning"}
    assert not any("--steps-per-task" in words for words in commands)


def test_a_row_that_fails_does_not_stop_the_others(fake: Fake) -> None:
    fake.set(failing="ewc")
    done = fake.here("all.py", "--sequence", "reach-v3,push-v3", "--jobs", "4")
    assert done.returncode == errors.INCOMPLETE
    assert done.stderr == "ewc ended with code 70: clrl: broken\n"
    assert done.stdout.startswith("4 runs at once, 1 thread each: --jobs says so\n")
    assert f"{len(METHODS) + 1} of {len(METHODS) + 2} runs are complete" in done.stdout
    lines = fake.lines()
    assert len(lines) == len(METHODS) + 2 + 2 and lines[-2][0] == "table"


SMALL = ("--preset", "small", "--out", "o")
ALL = runpy.run_path(str(CW20 / "all.py"))


def planned(*words: str) -> tuple[Any, list[Job]]:
    """The flags and the runs of a command line of all.sh."""
    flags, others = ALL["parse"]([*SMALL, *words])
    return flags, ALL["jobs"](flags, others)


@pytest.mark.parametrize(
    ("seeds", "per_run", "parts"),
    [("0..4", "2", ["0..1", "2..3", "4"]), ("1,3,7", "2", ["1,3", "7"]), ("0..1", "9", ["0..1"])],
)
def test_the_seeds_of_a_row_are_split_as_the_command_says(
    seeds: str, per_run: str, parts: list[str]
) -> None:
    _, found = planned("--seeds", seeds, "--seeds-per-run", per_run)
    for row, out in (("ewc", "o/ewc"), ("reach-v3", "o/references/reach-v3")):
        words = [list(job.command) for job in found if job.name == row]
        assert [value(some, "--seeds") for some in words] == parts
        assert [value(some, "--out") for some in words] == [f"{out}/seeds-{p}" for p in parts]


def test_no_seed_is_trained_twice(fake: Fake) -> None:
    Path("o/ewc/seeds-0..3").mkdir(parents=True)
    for seeds, per_run in (("0..7", "4"), ("4..9", "3")):
        assert len(planned("--seeds", seeds, "--seeds-per-run", per_run)[1]) == 36
    with pytest.raises(ConfigError, match="o/ewc/seeds-0..3 has seed 3 already; give --seeds-per-"):
        planned("--seeds", "3..9", "--seeds-per-run", "4")
    together = next(job for job in planned("--seeds", "0..3")[1] if job.name == "ewc")
    with pytest.raises(ConfigError, match="--out o/ewc is not empty and holds no run"):
        ALL["config_of"](together)
    Path("o/l2").mkdir()
    Path("o/l2/config.yaml").touch()
    with pytest.raises(ConfigError, match="o/l2 is a run of all seeds; leave --seeds-per-run out"):
        planned("--seeds", "0..7", "--seeds-per-run", "4")


def test_a_run_that_cannot_go_on_is_refused_before_any_starts(fake: Fake) -> None:
    out = Path("o/references/reach-v3")
    out.mkdir(parents=True)
    write_config(base_config("reach-v3", "finetuning", "small"), out)
    done = fake.here("all.py", *SMALL)
    assert done.returncode == errors.CONFIG and not fake.calls.exists()
    assert f"all.sh: --out {out} holds another configuration" in done.stderr
    (out / "config.yaml").write_text("damaged: [")
    reference = next(job for job in planned()[1] if job.name == "reach-v3")
    assert ALL["config_of"](reference).seeds == (0,)  # the run itself will say so


@pytest.mark.parametrize(
    ("cores", "memory", "flags", "sentence"),
    [
        (2, 64, (), "2 runs at once, 1 thread each: this process may use 2 cores"),
        (4, 64, ("--threads", "2"), "2 runs at once, 2 threads each: this process may use 4 cores"),
        (4, 4, (), "2 runs at once, 1 thread each: 4.0 GiB of memory are free, and a run takes up "
         "to 1.5"),
        (8, 640, ("--seeds", "0..3"), "3 runs at once, 1 thread each: there are no more; "
         "--seeds-per-run 2 would use 8 cores"),
        (9, 640, ("--seeds", "0..3"), "3 runs at once, 1 thread each: there are no more; "
         "--seeds-per-run 2 would use 9 cores"),
        (60, 640, ("--seeds", "0..3"), "3 runs at once, 1 thread each: there are no more; "
         "--seeds-per-run 1 would use 60 cores"),
    ],
)  # fmt: skip
def test_the_rows_fill_cores_and_memory(
    cores: int, memory: int, flags: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "available_memory", lambda: memory * 2**30)
    monkeypatch.setattr(jobs, "usable_cores", lambda: cores)
    monkeypatch.setitem(ALL["at_once"].__globals__, "usable_cores", lambda: cores)
    words, found = planned(*flags)
    assert ALL["at_once"](words, found[:3]) == (int(sentence.split()[0]), sentence)


def test_two_runs_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    words, found = planned()
    number, why = ALL["at_once"](words, found[:1])
    assert number == 2 and "they share a GPU" in why
    monkeypatch.setattr(jobs, "usable_cores", lambda: 1)
    words, found = planned("--device", "cpu")
    assert ALL["at_once"](words, found[:2])[1].endswith(": this process may use 1 core")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--sac.gama", "1"), "all.sh: unknown flag '--sac.gama'; did you mean '--sac.gamma'?"),
        (("--jobs", "0"), "all.sh: --jobs is 0; it must be at least 1"),
        (("--seeds-per-run", "0"), "all.sh: --seeds-per-run is 0; it must be at least 1"),
        (("--preset", "small", "--steps-per-task", "0"), "all.sh: sequence: steps_per_task"),
        (("--preset", "smal"), "all.sh: argument --preset: invalid choice: 'smal'"),
        (("--sequence", "CW30"), "all.sh: unknown task 'CW30'; did you mean 'CW20'?"),
    ],
)
def test_a_wrong_flag_ends_with_a_sentence(
    words: tuple[str, ...], sentence: str, fake: Fake
) -> None:
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
    assert "hours on one core of an AMD EPYC" in done.stdout
    assert list(tmp_path.iterdir()) == []
