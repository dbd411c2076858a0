import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clrl import errors
from clrl.cli import main
from clrl.commands.flags import look
from clrl.commands.train import defaults

SMALL = ("--preset", "small")
CW20 = ("--sequence", "CW20")

pytestmark = pytest.mark.usefixtures("empty_directory")


BAD_INPUT: list[tuple[list[str], str]] = [
    (["trian"], "unknown command 'trian'; did you mean 'train'?"),
    (["train"], "name a method: clrl train finetuning|"),
    (["train", "ecw", *CW20], "unknown method 'ecw'; did you mean 'ewc'?"),
    (["train", "ewc"], "give --sequence: CW10, CW20, or task names between commas"),
    (["train", "ewc", "--sequence"], "argument --sequence: expected one argument"),
    (
        ["train", "ewc", "--sequence", "hamer-v3"],
        "unknown task 'hamer-v3'; did you mean 'hammer-v3'?",
    ),
    (
        ["train", "ewc", "--sequence", "push-v3,widow-close-v3"],
        "unknown task 'widow-close-v3'; did you mean 'window-close-v3'?",
    ),
    (["train", "ewc", *CW20, "--ceof", "4"], "unknown flag '--ceof'; did you mean '--coef'?"),
    (
        ["train", "ewc", *CW20, "--sac.gama=0.9"],
        "unknown flag '--sac.gama'; did you mean '--sac.gamma'?",
    ),
    (["train", "ewc", *CW20, "--retrain-steps", "4"], "unknown flag '--retrain-steps'"),
    (
        ["train", "ewc", *CW20, "--ppo.clip-range", "4"],
        "--ppo.clip-range is a flag of the learner ppo, and the learner is sac; give --learner ppo",
    ),
    (
        ["train", "ewc", *CW20, "--learner", "ppo", "--sac.tau=1"],
        "--sac.tau is a flag of the learner sac, and the learner is ppo; give --learner sac, or",
    ),
    (["train", "ewc", *CW20, "more"], "unexpected 'more'"),
    (["train", "ewc", *CW20, "--learner", "pppo"], "unknown learner 'pppo'; did you mean 'ppo'?"),
    (
        ["train", "perfect-memory", *CW20, "--learner", "ppo"],
        "PerfectMemory does not work on the learner ppo: it is on-policy",
    ),
    (
        ["train", "ewc", *CW20, "--preset", "slippery-ant"],
        "preset 'slippery-ant' has settings of the learner ppo only, and the learner is sac",
    ),
    (
        ["train", "ewc", *CW20, "--learner", "ppo", "--steps-per-task", "1000"],
        "n_steps is 2048, but a task has 1000 steps (--steps-per-task); "
        "give --ppo.n-steps of at most 1000, or --preset small",
    ),
    (
        ["train", "ewc", *CW20, "--learner", "ppo", "--seeds", "0,1", "--ppo.target-kl", "0.1"],
        "ppo.target_kl is 0.1 with 2 seeds, but one seed cannot stop its updates alone",
    ),
    (
        ["train", "ewc", *CW20, "--preset", "smal"],
        "unknown preset 'smal'; did you mean 'small'?",
    ),
    (["train", "ewc", *CW20, "--coef", "much"], "--coef: 'much' is not a number"),
    (
        ["train", "ewc", *CW20, "--steps-per-task", "1e3"],
        "'1e3' is not a whole number (or several, like 1000,500)",
    ),
    (["train", "ewc", *CW20, "--evaluate", "some"], "invalid choice 'some'"),
    (
        ["train", "ewc", *CW20, "--steps-per-task", "10000"],
        "exploration_steps is 10000, but a task has 10000 steps (--steps-per-task); "
        "give --sac.exploration-steps of at most 9999, or --preset small",
    ),
    (
        ["train", "packnet", *CW20, "--steps-per-task", "50000"],
        "retrain_steps is 100000, but a task has 50000 steps (--steps-per-task); "
        "give --retrain-steps of at most that, or --preset small",
    ),
    (
        ["train", "ewc", *CW20, "--evals-per-task", "30"],
        "evals_per_task is 30, which does not divide the 1000000 steps of hammer-v3; "
        "give --evals-per-task 32",
    ),
    (["train", "ewc", *CW20, "--seeds", "0,1,0"], "seed 0 is given twice in seeds 0,1,0"),
    (["train", "ewc", *CW20, "--seeds", "x"], "seeds 'x' are not whole numbers like 0..4"),
    (["train", "ewc", *CW20, "--reward", "v1"], "unknown flag '--reward'"),
    (["train", "ewc", *CW20, "--parity", "orginal"], "invalid choice 'orginal'"),
    (
        ["train", "ewc", *CW20, "--fisher-batches", "0"],
        "method.fisher_batches is 0; it must be above 0",
    ),
    (["train", "ewc", *CW20, "--sac.gamma", "2"], "clrl: sac.gamma is 2.0; it must be in 0..1"),
    (["train", "--config", "none.yaml"], "none.yaml does not exist"),
    (["table"], "name at least one directory: clrl table DIR..."),
    (["table", "nowhere"], "nowhere is not a directory"),
    (["table", "."], "holds no run"),
    (["table", ".", "--strcit"], "unknown flag '--strcit'; did you mean '--strict'?"),
    (["plot"], "name at least one directory: clrl plot DIR..."),
    (["list"], "clrl list needs {methods,sequences,tasks,runs}"),
    (["list", "method"], "invalid choice 'method'"),
    (["evaluate"], "clrl evaluate needs DIR"),
    (["evaluate", "nowhere"], "config.yaml does not exist"),
]


@pytest.mark.parametrize(
    ("words", "sentence"), BAD_INPUT, ids=[" ".join(words) for words, _ in BAD_INPUT]
)
def test_bad_input_gives_one_sentence_code_78_and_writes_nothing(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == errors.CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("clrl: ") and err.count("\n") == 1
    assert sentence in err
    assert list(tmp_path.iterdir()) == []


def write_run(directory: Path, lines: list[str], *flags: str) -> dict[Path, bytes]:
    """A run directory of `clrl train finetuning --sequence push-v3 --preset small`."""
    words = ["finetuning", "--sequence", "push-v3", *SMALL, *flags]
    directory.mkdir()
    (directory / "config.yaml").write_text(defaults(look(words)).to_yaml())
    (directory / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return {path: path.read_bytes() for path in directory.rglob("*")}


ROW: dict[str, Any] = {
    "seq": 0, "step": 1500, "task": 0, "task_name": "push-v3", "seed": 0, "mode": "stochastic",
    "episodes": 10, "success": 0.3, "success_last": 0.2, "return": 5.0,
}  # fmt: skip


@pytest.mark.parametrize("command", ["train", "table"])
def test_a_bad_line_inside_the_record_is_code_65_and_nothing_is_lost(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_run(tmp_path / "run", ['{"seq": 0, ', json.dumps(ROW)])
    flags = ["finetuning", "--sequence", "push-v3", *SMALL, "--out", "run"]
    assert main(["train", *flags] if command == "train" else ["table", "run"]) == errors.DAMAGED
    assert "metrics.jsonl: line 1 is not JSON" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*")} == before


def test_another_configuration_in_out_is_code_78_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_run(tmp_path / "run", [json.dumps(ROW)])
    words = ["train", "finetuning", "--sequence", "push-v3", *SMALL, "--out", "run"]
    assert main([*words, "--sac.learning-rate", "3e-4"]) == errors.CONFIG
    err = capsys.readouterr().err
    assert "--out run holds another configuration (learner.learning_rate: 0.001 -> 0.0003)" in err
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["train", "ewc", "--sequence", "hamer-v3"], 78, "did you mean 'hammer-v3'?"),
        (["train", "ewc", *CW20, "--steps-per-task", "500"], 78, "give --sac.exploration-steps"),
    ],
)
def test_the_command_refuses_within_seconds(
    words: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    before = os.times()
    command = [sys.executable, "-X", "importtime", "-m", "clrl.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert sentence in done.stderr
    after = os.times()
    work = after.children_user + after.children_system
    work -= before.children_user + before.children_system
    assert work < 10  # seconds of CPU; 1.5 on a free core
    for heavy in ("metaworld", "mujoco", "stable_baselines3", "matplotlib", "wandb"):
        assert f" {heavy}\n" not in done.stderr
    assert list(tmp_path.iterdir()) == []
