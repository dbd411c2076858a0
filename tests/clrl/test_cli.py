import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.ppo.settings import SLIPPERY_ANT_PRESET, SMALL_PPO_PRESET, PPOSettings
from clrl.agents.sac.settings import SMALL_PRESET
from clrl.cli import COMMANDS, main
from clrl.config.run import RunConfig
from clrl.envs.metaworld.tasks import METAWORLD_TASKS
from tests.clrl.synthetic import write_run

SMALL = ("--preset", "small")
CW20 = ("--sequence", "CW20")


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty directory, so that a test sees what was written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The configuration that a dry run prints."""
    assert main(["train", *words, "--dry-run"]) == errors.OK
    text = capsys.readouterr().out
    return RunConfig.from_dict(yaml.safe_load(text.split("\n\n")[1]))


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
    assert f"methods:   {' '.join(METHODS)}" in capsys.readouterr().out


def test_help_of_a_method_shows_flags_with_source_and_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "packnet", "--help"]) == errors.OK
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--retrain-steps INT Updates after pruning (Continual World: 100,000)." in out
    assert "--sac.max-grad-norm {None}|FLOAT" in out and "(default: 2e-05)" in out
    for flag in ("sequence", "seeds", "out", "device", "threads", "wandb", "dry-run", "evaluate"):
        assert f"--{flag} " in out


SOURCE = re.compile(r"Continual World|CW20|CORA|et al\.|arXiv|\bours\b|paper")


@pytest.mark.parametrize("method", METHODS)
def test_every_hyperparameter_is_documented_with_its_source_and_default(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = METHODS[method]
    for learner in ("sac", "ppo"):
        if learner in kind.refusals():
            continue
        assert main(["train", method, "--learner", learner, "--help"]) == errors.OK
        out = " ".join(capsys.readouterr().out.replace("│", " ").split())
        texts = {flag: text for flag, text in re.findall(r"--([\w.-]+)[ ,](.*?)\(default: ", out)}
        for f in fields(kind):
            flag = f.name.replace("_", "-")
            assert SOURCE.search(texts[flag]), f"{flag} names no source: {texts[flag]}"
        for name, value in kind.learner_defaults.get(learner, {}).items():
            flag = f"{learner}.{name.replace('_', '-')}"
            shown = re.search(rf"--{flag}[ ,].*?\(default: (.*?)\)", out)
            assert shown is not None and shown[1] == str(value)


def test_a_flag_wins_over_preset_method_and_learner(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("packnet", "--sequence", "push-v3,hammer-v3")
    assert settings(capsys, *words).learner.max_grad_norm == 2e-5  # the method's
    assert settings(capsys, *words).learner.exploration_steps == 10_000  # the learner's
    small = settings(capsys, *words, *SMALL)
    assert small.learner.exploration_steps == SMALL_PRESET["exploration_steps"]
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


def test_a_run_of_ppo_has_the_flags_of_ppo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ewc", "--learner", "ppo", "--sequence", "push-v3")
    assert settings(capsys, *words).learner == PPOSettings()
    small = settings(capsys, *words, *SMALL, "--ppo.gamma", "0.9", "--ppo.max-grad-norm", "None")
    given = {"gamma": 0.9, "max_grad_norm": None}
    assert small.learner == PPOSettings(**{**SMALL_PPO_PRESET, **given})
    ant = settings(capsys, *words, "--preset", "slippery-ant")
    assert ant.learner == PPOSettings(**SLIPPERY_ANT_PRESET)
    (tmp_path / "c.yaml").write_text(small.to_yaml())
    assert settings(capsys, "--config", "c.yaml") == small
    assert settings(capsys, "--config", "c.yaml", "--ppo.gamma", "0.8").learner.gamma == 0.8
    assert main(["train", "--config", "c.yaml", "--learner", "sac"]) == errors.CONFIG
    assert "--config c.yaml is of ppo, not sac" in capsys.readouterr().err
    assert main(["train", *words, "--help"]) == errors.OK
    out = capsys.readouterr().out
    assert "--ppo.clip-range FLOAT" in out and "--sac.gamma" not in out


def test_parity_belongs_to_a_run_s_identity(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("ewc", "--sequence", "push-v3")
    clean, original = settings(capsys, *words), settings(capsys, *words, "--parity", "original")
    assert (clean.parity, original.parity) == ("clean", "original")
    assert clean.directory != original.directory


def test_a_dry_run_prints_settings_and_costs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "ewc", *CW20, "--seeds", "0..4", "--dry-run"]) == errors.OK
    out = capsys.readouterr().out
    assert out.startswith("run         runs/CW20-ewc-")
    assert "training    20,000,000 steps and 19,980,000 updates per seed" in out
    assert "evaluation  44,000,000 steps per seed, in 1,000 evaluations" in out
    assert "5 seeds of 346 MiB: data 319 MiB, networks " in out  # 1e6 x 334 bytes
    assert "disk        up to 3.2 GiB for two checkpoints, " in out
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
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == list(METHODS)
    assert max(map(len, lines)) <= 100
    text = " ".join(" ".join(lines).split())
    for kind in METHODS.values():
        assert kind.paper.rpartition(", ")[2] in text
        assert all(f"not on {learner}: {why}" in text for learner, why in kind.refusals().items())
    assert "--retrain-steps 100000 with sac: --sac.max-grad-norm 2e-05" in text
    success = np.full((2, 3, 1), np.nan)
    success[:, 0] = 0.5
    write_run(tmp_path / "run", success, ["push-v3"], state="interrupted")
    assert main(["list", "runs", "."]) == errors.OK
    line = "run  finetuning on made-up, seeds 0..1: interrupted, step 1,000 of 3,000\n"
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
