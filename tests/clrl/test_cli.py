import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.cli import COMMANDS, main
from clrl.config import RunConfig
from clrl.envs.tasks import METAWORLD_TASKS
from clrl.flags import look
from clrl.train import defaults

SMALL = ("--preset", "small")
CW20 = ("--sequence", "CW20")


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty directory, so that a test sees what was written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(capsys: pytest.CaptureFixture[str], *words: str) -> RunConfig:
    """The configuration that a dry run prints."""
    assert main(["train", *words, "--dry-run"]) == errors.OK
    text = capsys.readouterr().out
    return RunConfig.from_dict(yaml.safe_load(text.split("\n\n")[1]))


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
    (["train", "ewc", *CW20, "--ppo.clip", "4"], "a flag of the learner ppo, which is not"),
    (["train", "ewc", *CW20, "more"], "unexpected 'more'"),
    (["train", "ewc", *CW20, "--learner", "ppo"], "learner 'ppo' is not there yet"),
    (
        ["train", "ewc", *CW20, "--preset", "smal"],
        "unknown preset 'smal'; did you mean 'small'?",
    ),
    (["train", "ewc", *CW20, "--coef", "much"], "--coef: 'much' is not a number"),
    (
        ["train", "ewc", *CW20, "--steps-per-task", "1e3"],
        "--steps-per-task: '1e3' is not a whole number",
    ),
    (["train", "ewc", *CW20, "--evaluate", "some"], "invalid choice 'some'"),
    (
        ["train", "ewc", *CW20, "--steps-per-task", "10000"],
        "exploration_steps is 10000, but a task has 10000 steps (--steps-per-task); "
        "give --sac.exploration-steps below that, or --preset small",
    ),
    (
        ["train", "packnet", *CW20, "--steps-per-task", "50000"],
        "retrain_steps is 100000, but a task has 50000 steps (--steps-per-task); "
        "give --retrain-steps of at most that, or --preset small",
    ),
    (
        ["train", "ewc", *CW20, "--evals-per-task", "30"],
        "evals_per_task is 30, which does not divide 1000000 steps per task; "
        "give --evals-per-task 32",
    ),
    (["train", "ewc", *CW20, "--seeds", "0,1,0"], "seed 0 is given twice in seeds 0,1,0"),
    (["train", "ewc", *CW20, "--seeds", "x"], "seeds 'x' are not whole numbers like 0..4"),
    (["train", "ewc", *CW20, "--reward", "v1"], "reward v1 is refused"),
    (["train", "ewc", *CW20, "--parity", "original"], "parity 'original' is not there yet"),
    (["train", "ewc", *CW20, "--sac.gamma", "2"], "sac.gamma is 2.0; it must be in 0..1"),
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
        (["train", "ecw", *CW20], 78, "did you mean 'ewc'?"),
        (["train", "ewc", *CW20, "--steps-per-task", "500"], 78, "give --sac.exploration-steps"),
    ],
)
def test_the_command_refuses_within_seconds(
    words: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    start = time.process_time(), time.monotonic()
    command = [sys.executable, "-X", "importtime", "-m", "clrl.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert sentence in done.stderr
    assert time.monotonic() - start[1] < 10  # 1.5 s on a free core
    for heavy in ("metaworld", "mujoco", "stable_baselines3", "matplotlib", "wandb"):
        assert f" {heavy}\n" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_and_lists_do_not_import_torch() -> None:
    code = (
        "import sys; from clrl.cli import main\n"
        "for words in ([], ['list', 'tasks'], ['list', 'sequences']): assert main(words) == 0\n"
        "assert not {'torch', 'metaworld', 'matplotlib', 'wandb'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Continual reinforcement learning:")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_without_a_command_all_commands_are_shown(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == errors.OK
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in COMMANDS)


def test_help_of_train_names_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == errors.OK
    assert f"methods: {' '.join(METHODS)}" in capsys.readouterr().out


def test_help_of_a_method_shows_flags_with_source_and_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "packnet", "--help"]) == errors.OK
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--retrain-steps INT Updates after pruning (Continual World: 100,000)." in out
    assert "--sac.max-grad-norm {None}|FLOAT" in out and "(default: 2e-05)" in out
    for flag in ("sequence", "seeds", "out", "device", "threads", "wandb", "dry-run", "evaluate"):
        assert f"--{flag} " in out


def test_a_flag_wins_over_preset_method_and_learner(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("packnet", "--sequence", "push-v3,hammer-v3")
    assert settings(capsys, *words).learner.max_grad_norm == 2e-5  # the method's
    assert settings(capsys, *words).learner.exploration_steps == 10_000  # the learner's
    small = settings(capsys, *words, *SMALL)
    assert small.learner.exploration_steps == 2_000  # the preset's
    assert small.learner.max_grad_norm == 2e-5
    flags = ("--sac.exploration-steps", "500", "--sac.max-grad-norm", "None")
    flagged = settings(capsys, *flags[:0], *words, *SMALL, *flags, "--retrain-steps", "10")
    assert flagged.learner.exploration_steps == 500
    assert flagged.learner.max_grad_norm is None
    assert flagged.method == METHODS["packnet"](retrain_steps=10)  # type: ignore[call-arg]


def test_all_flags_of_a_run_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(
        capsys, "finetuning", "--sequence", "push-v3,reach-v3", "--steps-per-task", "20_000",
        "--horizon", "100", "--evals-per-task", "10", "--evaluate", "economical",
        "--seeds", "0,3,7", "--device", "cpu", "--threads", "2", "--wandb", "offline",
        "--stop-at-success", "--sac.hidden-sizes", "32", "16",
    )  # fmt: skip
    assert config.sequence.tasks == ("push-v3", "reach-v3")
    assert config.sequence.steps_per_task == 20_000
    assert config.sequence.horizon == 100
    assert config.evaluation.evals_per_task == 10
    assert config.evaluation.tasks == "economical"
    assert config.evaluation.stop_at_success
    assert config.seeds == (0, 3, 7)
    assert (config.placement.device, config.placement.threads) == ("cpu", 2)
    assert config.logging.wandb == "offline"
    assert config.learner.hidden_sizes == (32, 16)


def test_a_run_s_config_yaml_gives_the_same_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ewc", "--sequence", "push-v3", *SMALL, "--coef", "7", "--seeds", "1..3")
    config = settings(capsys, *words)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert settings(capsys, "--config", "c.yaml") == config
    assert settings(capsys, "ewc", "--config", "c.yaml", "--coef", "8").method == METHODS["ewc"](
        coef=8.0  # type: ignore[call-arg]
    )
    assert main(["train", "packnet", "--config", "c.yaml", "--dry-run"]) == errors.CONFIG
    assert "--config c.yaml is of ewc, not packnet" in capsys.readouterr().err
    assert main(["train", "ewc", "--config", "c.yaml", *SMALL]) == errors.CONFIG
    assert "--preset and --config exclude each other" in capsys.readouterr().err


def test_a_dry_run_prints_settings_and_costs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "ewc", *CW20, "--seeds", "0..4", "--dry-run"]) == errors.OK
    out = capsys.readouterr().out
    assert out.startswith("run         runs/CW20-ewc-")
    assert "training    20,000,000 steps and 19,980,000 updates per seed" in out
    assert "evaluation  44,000,000 steps per seed, in 1,000 evaluations" in out
    assert "memory      1.6 GiB of replay buffers" in out  # 5 x 1e6 x 334 bytes
    assert "hours on this CPU, one thread (an estimate)" in out
    assert list(tmp_path.iterdir()) == []


def test_economical_evaluation_costs_a_twentieth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "ewc", *CW20, "--evaluate", "economical", "--dry-run"]) == errors.OK
    # 1,000 evaluations of 11 episodes of 200 steps, and 19 more tasks at the last five
    assert f"evaluation  {(1000 + 5 * 19) * 2200:,} steps per seed" in capsys.readouterr().out


def test_lists_show_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "tasks"]) == errors.OK
    assert capsys.readouterr().out.split() == list(METAWORLD_TASKS)
    assert main(["list", "methods"]) == errors.OK
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)
    write_run(tmp_path / "run", [json.dumps(ROW)])
    assert main(["list", "runs", "."]) == errors.OK
    line = "run  finetuning on push-v3, seeds 0: unknown, step 1,500 of 18,000\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("script", ["cw10.sh ewc", "single_task.sh push-v3"])
def test_the_scripts_say_what_they_cost(script: str, tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "scripts"
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        f"sh {folder}/{script} --dry-run --seeds 0..1", shell=True, text=True, timeout=60,
        capture_output=True, env={"PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "steps_per_task: 1000000" in done.stdout
    assert "seeds: [0, 1]" in done.stdout
    assert "hours on this CPU" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_is_trained_listed_and_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train", "ewc", "--sequence", "drawer-close-v3,push-v3", "--steps-per-task", "120",
        "--evals-per-task", "2", "--sac.exploration-steps", "40", "--sac.learning-starts", "20",
        "--sac.hidden-sizes", "8", "8", "--stochastic-episodes", "1", "--horizon", "20",
        "--log-every", "60", "--out", "run",
    ]  # fmt: skip
    assert main(words) == errors.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 0: task 0 (drawer-close-v3) starts"
    assert lines[-1] == "run: complete"
    assert (tmp_path / "run" / "log.txt").read_text().splitlines() == lines[:-1]
    assert main(words) == errors.OK
    assert capsys.readouterr().out == "run: was complete already\n"
    assert main(["evaluate", "run", "--task", "1", "--episodes", "2"]) == errors.OK
    assert capsys.readouterr().out.splitlines()[1].startswith("task  1 push-v3")
    assert main(["evaluate", "run", "--task", "2"]) == errors.CONFIG
    assert "--task 2 is not in 0..1" in capsys.readouterr().err
    assert main(["table", "run", "--strict"]) == errors.INCOMPLETE  # it has no references
