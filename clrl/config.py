"""The only description of a run: its fields are the command's flags and `config.yaml`'s keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import tyro
import yaml
from tyro.constructors import PrimitiveConstructorSpec

from clrl.agents.fields import number
from clrl.agents.methods import METHODS, method_name
from clrl.agents.methods.base import Method
from clrl.agents.settings import PPOSettings, SACSettings, check_told
from clrl.errors import ConfigError
from clrl.evaluator import Evaluation
from clrl.fields import build, check_fields, plain
from clrl.names import check_tasks, format_seeds, parse_seeds, parse_tasks, sequence_name, unknown

MAX_HORIZON = 500  # Meta-World's own limit
MAY_DIFFER = ("placement", "logging")
"""Sections that a continued run may change."""


def _word(read: Callable[[str], Any], show: Callable[[Any], str], metavar: str) -> Any:
    """A tuple that is one word on the command line."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [show(value)],
    )


TaskNames = Annotated[
    tuple[str, ...],
    tyro.conf.arg(name="sequence"),
    _word(parse_tasks, sequence_name, "NAME|TASK,TASK"),
]
LearnerName = Literal["sac", "ppo"]
Seeds = Annotated[tuple[int, ...], _word(parse_seeds, format_seeds, "0..4|0,3,7")]


@dataclass(frozen=True)
class SequenceConfig:
    """The tasks, and the steps spent on each."""

    observation_dim: ClassVar[int] = 39
    action_dim: ClassVar[int] = 4
    step_seconds: ClassVar[float] = 0.15e-3
    """A step with its share of a reset: mean of the CW10 tasks on one server core."""
    simulator_bytes: ClassVar[int] = 30 * 2**20
    """One simulator: 22 to 33 MiB over the tasks of CW10."""
    reveals: ClassVar[Literal["task", "boundaries", "nothing"]] = "task"
    """What the agent is told."""

    tasks: TaskNames
    """CW10, CW20, or Meta-World tasks between commas."""
    steps_per_task: int = number(1_000_000, above=0)
    """Steps of each seed on each task (Continual World: 1e6)."""
    horizon: int = number(200, least=1, most=MAX_HORIZON)
    """Steps of an episode, at most 500 (Continual World: 200)."""
    reward: Literal["v2", "v1"] = "v2"
    """Meta-World's reward version; v1 is refused."""
    randomization: Literal["random_init_all", "deterministic"] = "random_init_all"
    """Positions drawn at every reset (Continual World), or always the same."""
    fixes: Literal["patched", "upstream"] = "patched"
    """Meta-World with or without our corrections."""

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        check_fields(self, "sequence")
        if self.reward == "v1":
            raise ConfigError(
                "reward v1 is refused: Meta-World 3's v1 rewards are not the original ones "
                "(stick-pull reads its object's position from the wrong numbers), so nothing "
                "published could be compared with them; give --reward v2"
            )

    @property
    def name(self) -> str:
        """CW10, CW20, or the tasks between commas."""
        return sequence_name(self.tasks)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps of every task."""
        return (self.steps_per_task,) * len(self.tasks)


@dataclass(frozen=True)
class EvaluationConfig(Evaluation):
    """When and how success is measured, as flags."""

    tasks: Annotated[Literal["all", "economical"], tyro.conf.arg(name="evaluate")] = "all"


@dataclass(frozen=True)
class PlacementConfig:
    """Where a run computes; a run may be continued with other values."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    threads: int = number(1, above=0)
    """CPU threads; on a CPU several runs of one thread each get more done."""
    matmul: Literal["auto", "default", "onednn"] = "auto"
    """CPU matrix product; auto picks the faster full-precision one when the run starts."""

    def __post_init__(self) -> None:
        check_fields(self, "placement")
        kind, _, index = self.device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
            raise ConfigError(f"device is {self.device!r}; it must be auto, cpu, cuda or cuda:N")


@dataclass(frozen=True)
class LoggingConfig:
    """What a run says; a run may be continued with other values."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Mirror of the record in Weights & Biases."""
    log_every: int = number(1_000, above=0)
    """Steps between the lines of train.jsonl."""

    def __post_init__(self) -> None:
        check_fields(self, "logging")


@dataclass(frozen=True)
class RunConfig:
    """One run: one configuration, S seeds. `SACRun` and `PPORun` are those that can be made.

    Raises:
        ConfigError: a value that is not allowed, or two that do not fit together.
    """

    sequence: Annotated[SequenceConfig, tyro.conf.arg(name="")]
    learner: SACSettings | PPOSettings
    method: Annotated[Method, tyro.conf.arg(name="")] = field(default_factory=METHODS["finetuning"])
    evaluation: Annotated[EvaluationConfig, tyro.conf.arg(name="")] = EvaluationConfig()
    seeds: Seeds = (0,)
    """Seeds, trained side by side."""
    parity: Literal["clean", "original"] = "clean"
    """original: with what we take for defects of the published code, to compare with its
    numbers; clean: without."""
    placement: Annotated[PlacementConfig, tyro.conf.arg(name="")] = PlacementConfig()
    logging: Annotated[LoggingConfig, tyro.conf.arg(name="")] = LoggingConfig()

    def __post_init__(self) -> None:
        _check_seeds(self.seeds)
        lengths, reveals = self.sequence.lengths, self.sequence.reveals
        try:
            self.method.check_settings(self.learner)
            self.method.check_reveals(reveals)
            check_told(type(self.learner), vars(self.learner), reveals)
            self.learner.check_fit(lengths, told_boundaries=reveals != "nothing")
            self.method.check_fit(lengths)
            self.learner.check_seeds(len(self.seeds))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        _check_evaluations(self.sequence.steps_per_task, self.evaluation.evals_per_task)

    @property
    def one_task(self) -> bool:
        """Whether all tasks are one to the learner: interleaved, or nothing is revealed."""
        return self.method.interleaved or self.sequence.reveals == "nothing"

    @property
    def n_ids(self) -> int:
        """Tasks that an observation tells apart."""
        return len(self.sequence.tasks) if self.sequence.reveals == "task" else 1

    @property
    def method_name(self) -> str:
        """The method's key in METHODS, or "package.module:Class"."""
        return method_name(type(self.method))

    @property
    def learner_name(self) -> LearnerName:
        """The learner's key in RUNS."""
        return cast(LearnerName, self.learner.name)

    def to_dict(self) -> dict[str, Any]:
        """Return `config.yaml`: plain dicts, lists, numbers and strings."""
        values = plain(self)
        order = order_of(self.method)
        values["sequence"] = {"name": self.sequence.name, **order, **values["sequence"]}
        values["learner"] = {"name": self.learner_name, **values["learner"]}
        values["method"] = {"name": self.method_name, **values["method"]}
        return values

    @staticmethod
    def from_dict(values: Any) -> RunConfig:
        """Return the configuration that `to_dict` wrote.

        Keys that are missing take their defaults; a method's and a learner's name select them.

        Raises:
            ConfigError: an unknown key (with the closest one), a value of the wrong type, or
                values that do not fit together.
        """
        if not isinstance(values, dict):
            raise ConfigError("a configuration is a mapping like the config.yaml of a run")
        values = {k: dict(v) if isinstance(v, dict) else v for k, v in values.items()}
        for key in ("sequence", "learner", "method"):
            if not isinstance(values.setdefault(key, {}), dict):
                raise ConfigError(f"{key} is {values[key]!r}; it must be a mapping")
        name = values["sequence"].pop("name", None)
        order = values["sequence"].pop("interleaved", None)
        learner = values["learner"].pop("name", "sac")
        method = values["method"].pop("name", "finetuning")
        check_method_name(method)
        check_learner_name(learner)
        config = build(RUNS[learner], values, types={"method": METHODS[method]})
        if name not in (None, config.sequence.name):
            raise ConfigError(
                f"sequence.name is {name!r}, but the tasks are those of {config.sequence.name!r}"
            )
        if order not in (None, config.method.interleaved):
            raise ConfigError(
                f"sequence.interleaved is {order!r}, but the method {method} trains with "
                f"{config.method.interleaved!r}; leave it out: it follows from the method"
            )
        return config

    def to_yaml(self) -> str:
        """Return the text of `config.yaml`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, width=100)

    @staticmethod
    def load(path: str | Path) -> RunConfig:
        """Read a run's `config.yaml`.

        Raises:
            ConfigError: it cannot be read or is not allowed, naming the file.
        """
        try:
            return RunConfig.from_dict(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ConfigError(f"{path} does not exist") from None
        except (OSError, ValueError, yaml.YAMLError, ConfigError) as error:
            raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None

    def identity(self) -> dict[str, Any]:
        """Return what makes this run this run: everything but placement and logging."""
        values = self.to_dict()
        return {key: values[key] for key in values if key not in MAY_DIFFER}

    @property
    def hash(self) -> str:
        """First 8 hex digits of the identity's SHA-256."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def directory(self) -> Path:
        """Where the run goes without `--out`."""
        name = self.sequence.name.replace(",", "+")
        if len(name) > 60:
            name = f"{len(self.sequence.tasks)}-tasks"
        return Path("runs", f"{name}-{self.method_name}-{self.hash}")


@dataclass(frozen=True)
class SACRun(RunConfig):
    """A run of soft actor-critic."""

    learner: Annotated[SACSettings, tyro.conf.arg(name="sac")] = SACSettings()


@dataclass(frozen=True)
class PPORun(RunConfig):
    """A run of proximal policy optimisation."""

    learner: Annotated[PPOSettings, tyro.conf.arg(name="ppo")] = PPOSettings()


RUNS: dict[str, type[SACRun] | type[PPORun]] = {"sac": SACRun, "ppo": PPORun}
"""The configuration of each learner: only the flags of its own settings differ."""


def order_of(method: Method) -> dict[str, bool]:
    """Return what the section `sequence` says of the tasks' order: only where they are interleaved.

    Tools that read a run need not know the method.
    """
    return {"interleaved": True} if method.interleaved else {}


def _check_seeds(seeds: tuple[int, ...]) -> None:
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"seeds is {list(seeds)}; give at least one, none negative")
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"seed {twice[0]} is given twice in seeds {','.join(map(str, seeds))}")


def _check_evaluations(steps: int, evals: int) -> None:
    if steps % evals:
        fits = min((n for n in range(1, min(steps, 2 * evals) + 1) if steps % n == 0),
                   key=lambda n: abs(n - evals))  # fmt: skip
        raise ConfigError(
            f"evals_per_task is {evals}, which does not divide {steps} steps per task; "
            f"give --evals-per-task {fits}"
        )


def check_method_name(name: Any) -> None:
    """Raise ConfigError, with the closest name, unless a method has this name."""
    if not isinstance(name, str) or name not in METHODS:
        raise ConfigError(unknown("method", str(name), METHODS))


def check_learner_name(name: Any) -> None:
    """Raise ConfigError, with the closest name, unless a learner has this name."""
    if not isinstance(name, str) or name not in RUNS:
        raise ConfigError(unknown("learner", str(name), RUNS))
