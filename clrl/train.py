"""`clrl train`: from the command line to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clrl import errors, flags
from clrl.agents.methods import METHODS
from clrl.config import RunConfig, check_directory, check_learner_name, check_method_name
from clrl.errors import ConfigError
from clrl.flags import First
from clrl.names import parse_tasks, unknown
from clrl.presets import PRESETS, PresetName, base_config
from clrl.results import METRICS_FILE, read_run

HELP = """\
usage: clrl train METHOD --sequence CW10|CW20|TASK|TASK,TASK [flags]

Trains a method on a sequence of tasks, each seed a fresh agent. The same command again continues
the run or says that it is complete. Without --preset all settings are the published ones.

methods: {methods}

clrl train METHOD --help shows every flag with its default and source.
"""


@dataclass(frozen=True)
class Train:
    """Train a method on a sequence of tasks; the same command again continues the run."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path | None = None
    """Run directory; by default runs/SEQUENCE-METHOD-HASH."""
    learner: Literal["sac"] = "sac"
    """What the method is put on."""
    preset: PresetName | None = None
    """Tested settings for small budgets, in place of the published ones."""
    config: Path | None = None
    """A run's config.yaml, in place of all defaults."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print settings and costs, and do nothing."""


def train(first: First, argv: Sequence[str]) -> int:
    """Run `clrl train`.

    Args:
        first: what `look` found in `argv`.
        argv: the words after `clrl train`.

    Returns:
        An exit code.
    """
    if first.method is None and first.config is None:
        if not first.help:
            raise ConfigError(f"name a method: clrl train {'|'.join(METHODS)} ...")
        print(HELP.format(methods=" ".join(METHODS)), end="")
        return errors.OK
    base = defaults(first)
    words = argv if first.method is None else argv[1:]
    options = flags.parse(Train, f"clrl train {base.method_name}", words, Train(base))
    config, out = options.run, options.out or options.run.directory
    check_directory(config, out)
    if options.dry_run:
        return _dry_run(config, out)
    return _start(config, out)


def defaults(first: First) -> RunConfig:
    """Return the configuration that flags are laid over.

    Raises:
        ConfigError: no sequence, or a name that is not known.
    """
    if first.method is not None:
        check_method_name(first.method)
    check_learner_name(first.learner or "sac")
    if first.config is not None:
        return _loaded(first)
    if first.preset is not None and first.preset not in PRESETS:
        raise ConfigError(unknown("preset", first.preset, PRESETS))
    if first.sequence is None and not first.help:
        raise ConfigError("give --sequence: CW10, CW20, or task names between commas")
    assert first.method is not None
    return base_config(parse_tasks(first.sequence or "CW20"), first.method, first.preset)


def _loaded(first: First) -> RunConfig:
    if first.preset is not None:
        raise ConfigError("--preset and --config exclude each other: a config is complete")
    config = RunConfig.load(str(first.config))
    if first.method not in (None, config.method_name):
        raise ConfigError(f"--config {first.config} is of {config.method_name}, not {first.method}")
    return config


def _dry_run(config: RunConfig, out: Path) -> int:
    from clrl.costs import estimate

    print(f"run         {out}\n\n{config.to_yaml()}\n{estimate(config)}")
    return errors.OK


def _start(config: RunConfig, out: Path) -> int:
    if (out / METRICS_FILE).exists():
        read_run(out)  # a damaged record is refused now, not after the next evaluation
    from clrl.logger import RunLogger
    from clrl.protocol import run  # here: it imports Meta-World

    logger = RunLogger(config, out)
    try:
        return run(config, out, logger)
    finally:
        logger.close()
