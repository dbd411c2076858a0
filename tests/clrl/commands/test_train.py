"""`clrl train`: flags over defaults, and what a dry run says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.ppo.settings import SLIPPERY_ANT_PRESET, SMALL_PPO_PRESET, PPOSettings
from clrl.agents.sac.settings import SMALL_PRESET
from clrl.cli import main
from clrl.config.run import RunConfig
from clrl.run.directory import RunFile
from tests.agents.compilers import lacking, needs_native

SMALL = ("--preset", "small")
CW20 = ("--sequence", "CW20")

pytestmark = pytest.mark.usefixtures("empty_directory")


def settings(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The configuration that a dry run prints."""
    assert main(["train", *words, "--dry-run"]) == errors.OK
    text = capsys.readouterr().out
    return RunConfig.from_dict(yaml.safe_load(text.split("\n\n")[1]))


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
    assert "5 seeds of 349 MiB: data 321 MiB, networks " in out  # 1e6 x 337 bytes
    assert "disk        up to 3.3 GiB for two checkpoints, " in out
    assert "hours on one core of an AMD EPYC (Zen 4); others differ" in out
    assert list(tmp_path.iterdir()) == []


def updates(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line of a dry run that says by which path updates are taken."""
    assert main(["train", *words, "--dry-run"]) == errors.OK
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text[:7] == "update "]
    return line


@needs_native
def test_a_dry_run_says_the_path_of_the_updates_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLRL_UPDATE", raising=False)
    words = ("ewc", "--sequence", "push-v3", *SMALL, "--out", "run", "--device", "cpu")
    assert updates(capsys, *words).startswith("update      native (compiled for ")
    assert updates(capsys, *words, "--update", "torch") == "update      torch (it is asked for)"
    RunFile(tmp_path / "run").path.parent.mkdir()
    (tmp_path / "run" / "config.yaml").write_text(settings(capsys, *words).to_yaml())
    RunFile(tmp_path / "run").update(update="torch")
    (tmp_path / "run" / "checkpoints" / "step-000000010").mkdir(parents=True)
    assert updates(capsys, *words) == "update      torch (what goes on began so)"
    dry_run = ["train", *words, "--update", "native", "--dry-run"]
    assert main(dry_run) == errors.OK
    assert "not bit for bit: the run began by torch\n" in capsys.readouterr().out


def test_without_a_compiler_a_dry_run_says_how_to_get_native_updates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLRL_UPDATE", raising=False)
    monkeypatch.setattr("clrl.agents.native.path.library", lacking)
    words = ("ewc", "--sequence", "push-v3", *SMALL, "--device", "cpu")
    said = "update      torch (there is no C compiler: install gcc or clang)"
    assert updates(capsys, *words) == said
    for more in (["--dry-run"], []):
        assert main(["train", *words, "--update", "native", *more]) == errors.CONFIG
        assert "clrl: update is native, but there is no C compiler" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_says_what_update_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "ewc", "--help"]) == errors.OK
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--update {auto,native,torch}" in out and "CLRL_UPDATE" in out
