"""`clrl train`: from the command line to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast, get_args

import tyro

from clrl import errors
from clrl.agents.methods import METHODS
from clrl.agents.settings.learners import SETTINGS
from clrl.commands import flags
from clrl.commands.flags import First
from clrl.config.names import parse_seeds, unknown
from clrl.config.presets import PRESETS, PresetName, draft_config
from clrl.config.run import RunConfig, find_learner, find_method
from clrl.config.sequences import sequence_named, settings_of
from clrl.envs.told import Reveals
from clrl.errors import ConfigError
from clrl.results.reading import read_run
from clrl.results.record import METRICS_FILE
from clrl.run.directory import begun, check_directory

HELP = """\
usage: clrl train METHOD --sequence SEQUENCE [--learner sac|ppo] [flags]

Trains a method on a sequence of tasks, each seed a fresh agent. The same command again continues
the run or says that it is complete. Without --preset all settings are the published ones.

methods:   {methods}
           or a class of your own, my_package.file:Class
sequences: CW10, CW20, Meta-World tasks (push-v3,reach-v3), environments registered with Gymnasium
           ("Pendulum-v1?g=10,Pendulum-v1?g=2"), your own my_package.file:function, which gets the
           seed and returns a TaskSequence, or toy, small classification tasks

clrl train METHOD --help shows every flag with its default and source; with --learner ppo or
--preset small those of that learner or preset. clrl list methods shows what the methods are.
"""


@dataclass(frozen=True)
class Train:
    """Train a method on a sequence of tasks; the same command again continues the run."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]
    sequence: str = ""
    """CW10, CW20, tasks between commas, Gymnasium ids like Pendulum-v1?g=2, or
    my_package.file:function."""
    out: Path | None = None
    """Run directory; by default runs/SEQUENCE-METHOD-HASH."""
    learner: str = "sac"
    """What the method is put on (sac, ppo, classifier; by default what the worlds bring); its
    settings are the flags --sac.X or --ppo.X."""
    preset: PresetName | None = None
    """Other settings in place of the published ones: tested for small budgets (small), or those
    published for the slippery ant, which are of PPO (slippery-ant)."""
    config: Path | None = None
    """A run's config.yaml, in place of all defaults."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print settings and costs, and do nothing."""


def train_command(first: First, argv: Sequence[str]) -> int:
    """Run `clrl train`.

    Args:
        first: what `look` found in `argv`.
        argv: the words after `clrl train`.

    Returns:
        an exit code.
    """
    if first.method is None and first.config is None:
        if not first.help:
            raise ConfigError(f"name a method: clrl train {'|'.join(METHODS)} ...")
        print(HELP.format(methods=" ".join(METHODS)), end="")
        return errors.OK
    options = options_of(first, argv)
    config, out = options.run, options.out or options.run.directory
    check_directory(config, out)
    if options.dry_run:
        config.placement.check_device()
        return _dry_run(config, out)
    return _start(config, out, ["clrl", "train", *argv])


def options_of(first: First, argv: Sequence[str]) -> Train:
    """Return what the words after `clrl train` say, laid over the defaults.

    Args:
        first: what `look` found in `argv`.
        argv: the words.

    Raises:
        ConfigError: a flag that does not exist, a value that it cannot take, or two that do not fit
            together.
    """
    base = defaults(first)
    words = argv if first.method is None else argv[1:]
    _check_learner_of(words, base.learner_name)
    given = Train(base, first.sequence or base.sequence.name, learner=base.learner_name)
    return flags.parse(Train, f"clrl train {base.method_name}", words, given)


def _check_learner_of(words: Sequence[str], learner: str) -> None:
    """Refuse a flag of another learner, of which the parser only knows that it is unknown."""
    for word in words:
        other = word.removeprefix("--").partition(".")[0]
        if word.startswith("--") and "." in word and other in SETTINGS and other != learner:
            raise ConfigError(
                f"{word.partition('=')[0]} is a flag of the learner {other}, and the learner is "
                f"{learner}; give --learner {other}, or flags --{learner}.X"
            )


def defaults(first: First) -> RunConfig:
    """Return the configuration that flags are laid over.

    Raises:
        ConfigError: no sequence, or a name that is not known.
    """
    if first.method is not None:
        find_method(first.method)
    if first.learner is not None:
        find_learner(first.learner)
    if first.config is not None:
        return _loaded(first)
    if first.preset is not None and first.preset not in PRESETS:
        raise ConfigError(unknown("preset", first.preset, PRESETS))
    if first.sequence is None and not first.help:
        raise ConfigError(
            "give --sequence: CW10, CW20, or task names between commas "
            "(`clrl train --help` lists what else)"
        )
    assert first.method is not None
    seed = parse_seeds(first.seeds)[0] if first.seeds is not None else 0
    text, reveals = first.sequence or "CW20", _reveals(first.reveals)
    return draft_config(text, first.method, first.preset, first.learner, reveals, seed)


def _reveals(word: str | None) -> Reveals | None:
    if word is not None and word not in get_args(Reveals):
        raise ConfigError(f"--reveals is {word!r}; it must be {' or '.join(get_args(Reveals))}")
    return cast("Reveals | None", word)


def _loaded(first: First) -> RunConfig:
    if first.preset is not None:
        raise ConfigError("--preset and --config exclude each other: a config is complete")
    config = RunConfig.load(str(first.config))
    if first.sequence is not None:
        sequence = settings_of(config.sequence, sequence_named(first.sequence, config.seeds[0]))
        config = replace(config, sequence=sequence)
    for given, own in ((first.method, config.method_name), (first.learner, config.learner_name)):
        if given not in (None, own):
            raise ConfigError(f"--config {first.config} is of {own}, not {given}")
    return config


def _dry_run(config: RunConfig, out: Path) -> int:
    from clrl.machine.allowed import available_memory
    from clrl.machine.costs import expected_costs
    from clrl.machine.resources import free_disk, need, readable
    from clrl.run.builder import update_path

    began = begun(out)
    path, why = update_path(config, began)
    needed, allowed = need(config), available_memory()
    enough = "" if needed.total <= allowed else ": too little"
    pair, free = readable(2 * needed.checkpoint), readable(free_disk(out))
    print(f"run         {out}\n\n{config.to_yaml()}\n{expected_costs(config, path)}")
    print(f"update      {path} ({why})")
    if began not in (None, path):
        print(f"            not bit for bit: the run began by {began}")
    print(f"memory      up to {readable(needed.total)}, {readable(allowed)} available here{enough}")
    print("".join(f"            {part}\n" for part in needed.parts), end="")
    print(f"disk        up to {pair} for two checkpoints, {free} free here")
    return errors.OK


def _start(config: RunConfig, out: Path, words: Sequence[str]) -> int:
    if (out / METRICS_FILE).exists():
        read_run(out)  # a damaged record is refused now, not after the next evaluation
    from clrl.run.protocol import run  # here: it imports Meta-World
    from clrl.show.logger import RunLogger

    logger = RunLogger(config, out)
    try:
        return run(config, out, logger, words)
    finally:
        logger.close()
