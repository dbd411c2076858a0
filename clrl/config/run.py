"""The only description of a run: its fields are the command's flags and `config.yaml`'s keys."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import yaml

from clrl.agents.methods import METHODS, method_class, method_name
from clrl.agents.methods.base import Method
from clrl.agents.settings.learners import SETTINGS, check_told
from clrl.config.evaluation import Evaluation
from clrl.config.families import (
    FAMILIES,
    FunctionSequence,
    MetaWorldSequence,
    SequenceConfig,
)
from clrl.config.fields import from_plain, plain
from clrl.config.names import Seeds, unknown
from clrl.config.placement import LoggingConfig, PlacementConfig
from clrl.config.schema import MAY_CHANGE_ON_RESUME, upgraded
from clrl.config.sequences import sequence_named
from clrl.errors import ConfigError, checked, said_as_config_error


@dataclass(frozen=True)
class RunConfig:
    """One run: one configuration, S seeds. `run_type` makes the classes whose flags are parsed.

    Raises:
        ConfigError: a value that is not allowed, or two that do not fit together.
    """

    sequence: Annotated[SequenceConfig, tyro.conf.arg(name="")]
    learner: Any
    method: Annotated[Method, tyro.conf.arg(name="")] = field(default_factory=METHODS["finetuning"])
    evaluation: Annotated[Evaluation, tyro.conf.arg(name="")] = Evaluation()
    seeds: Seeds = (0,)
    """Seeds, trained side by side."""
    parity: Literal["clean", "original"] = "clean"
    """original: with what we take for defects of the published code, to compare with its
    numbers; clean: without."""
    placement: Annotated[PlacementConfig, tyro.conf.arg(name="")] = PlacementConfig()
    logging: Annotated[LoggingConfig, tyro.conf.arg(name="")] = LoggingConfig()

    def __post_init__(self) -> None:
        checked(self, "run")
        _check_seeds(self.seeds)
        sequence, learner, lengths = self.sequence, self.learner, self.sequence.schedule.lengths
        if learner.name not in sequence.learners:
            raise ConfigError(
                f"the learner {learner.name} cannot learn {sequence.name}, whose worlds are of the "
                f"family {sequence.family}; give --learner {' or '.join(sequence.learners)}"
            )
        _check_evaluations(sequence, self.evaluation.evals_per_task)
        with said_as_config_error():
            self.method.check_reveals(sequence.reveals)
            self.method.check_settings(learner)
            check_told(type(learner), vars(learner), sequence.reveals)
            learner.check_seeds(len(self.seeds))
            learner.check_fit(lengths, self.tells_boundaries, self.acts_at_boundaries)
            if self.tells_boundaries:
                self.method.check_fit(lengths)

    @classmethod
    def draft(cls, **sections: Any) -> RunConfig:
        """Return one that flags are still to be laid over: whether its parts fit is not checked."""
        made = object.__new__(cls)
        for f in fields(cls):
            default = f.default if f.default_factory is MISSING else f.default_factory()
            object.__setattr__(made, f.name, sections.get(f.name, default))
        return made

    @property
    def tells_boundaries(self) -> bool:
        """Whether the agent is told that a task ends and the next one starts."""
        return self.sequence.reveals != "nothing" and not self.method.interleaved

    @property
    def acts_at_boundaries(self) -> bool:
        """Whether learner or method do something when they are told that a task ends."""
        uses = self.method.uses_task_boundaries or self.learner.uses(vars(self.learner))[0]
        return self.tells_boundaries and uses

    @property
    def n_ids(self) -> int:
        """Tasks that an observation tells apart."""
        return self.sequence.schedule.n_tasks if self.sequence.reveals == "task" else 1

    @functools.cached_property
    def sizes(self) -> tuple[int, int]:
        """Numbers of an observation (without one-hot) and of an action, in the run's own worlds."""
        return self.sequence.sizes(self.seeds[0], self.method.interleaved)

    @property
    def method_name(self) -> str:
        """The method's key in METHODS, or where its class stands."""
        return method_name(type(self.method))

    @property
    def learner_name(self) -> str:
        """The learner's key in SETTINGS."""
        return str(self.learner.name)

    def to_dict(self) -> dict[str, Any]:
        """Return `config.yaml`: plain dicts, lists, numbers and strings."""
        values = plain(self)
        values["sequence"] = {**self._facts(), **values["sequence"]}
        values["learner"] = {"name": self.learner_name, **values["learner"]}
        values["method"] = {"name": self.method_name, **values["method"]}
        return values

    def _facts(self) -> dict[str, Any]:
        """Return what the section `sequence` says that follows from the rest, for other tools."""
        turns = {"interleaved": True} if self.method.interleaved else {}
        kind = type(self.sequence)
        return {"family": kind.family, "name": self.sequence.name, **turns, **kind.facts}

    @staticmethod
    def from_dict(values: Any, method_kind: type[Method] | None = None) -> RunConfig:
        """Return the configuration that `to_dict` wrote, or an earlier version.

        Keys that are missing take their defaults; the names of family, method and learner select
        them.

        Args:
            values: nested plain values.
            method_kind: the method's class, where it has no importable name.

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
        if "family" not in values["sequence"]:
            values = upgraded(values)
        sequence, learner, method = values["sequence"], values["learner"], values["method"]
        family = find_family(sequence.pop("family", MetaWorldSequence.family))
        if family is FunctionSequence and "tasks" not in sequence:  # the function says them
            named = sequence_named(str(sequence.get("function", "")))
            values["sequence"] = sequence = {**plain(named), **sequence}
        known = {f.name for f in fields(family)}
        facts = {"name", "interleaved", *family.facts} - known
        told = {key: sequence.pop(key) for key in facts if key in sequence}
        settings = find_learner(learner.pop("name", family.learners[0]))
        name = method.pop("name", "finetuning")
        kind = method_kind or _stored_method(name)
        reveals = sequence.get("reveals", "task")
        defaults = {**kind.learner_defaults.get(settings.name, {}), **settings.forced(reveals)}
        values["learner"] = {**defaults, **learner}
        config = from_plain(run_type(family, settings), values, types={"method": kind})
        made = {"interleaved": False, **config._facts()}
        for key, value in told.items():
            if value != made[key] and value is not None:
                raise ConfigError(
                    f"sequence.{key} is {value!r}, but the rest of the configuration makes it "
                    f"{made[key]!r}; leave it out"
                )
        return config

    def to_yaml(self) -> str:
        """Return the text of `config.yaml`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, width=100)

    @staticmethod
    def load(path: str | Path, method: Method | type[Method] | None = None) -> RunConfig:
        """Read a run's `config.yaml`; `method` is its method where that has no importable name.

        Raises:
            ConfigError: it cannot be read or is not allowed, naming the file.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            kind = type(method) if isinstance(method, Method) else method
            return RunConfig.from_dict(values, kind)
        except FileNotFoundError:
            raise ConfigError(f"{path} does not exist") from None
        except (OSError, ValueError, yaml.YAMLError, ConfigError) as error:
            raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None

    def identity(self) -> dict[str, Any]:
        """Return what makes this run this run: everything but placement and logging."""
        values = self.to_dict()
        return {key: values[key] for key in values if key not in MAY_CHANGE_ON_RESUME}

    @property
    def hash(self) -> str:
        """First 8 hex digits of the identity's SHA-256."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def directory(self) -> Path:
        """Where the run goes without `--out`."""
        method = self.method_name.rpartition(":")[2]
        return Path("runs", f"{_as_folder(self.sequence)}-{method}-{self.hash}")


def run_type(family: type[SequenceConfig], settings: Any) -> type[RunConfig]:
    """Return the configuration of a learner on a family of worlds, whose flags are theirs."""
    key = family, settings
    if key not in _RUN_TYPES:
        learner = Annotated[settings, tyro.conf.arg(name=settings.name)]
        _RUN_TYPES[key] = make_dataclass(
            f"{family.family}_{settings.name}_Run",
            [
                ("sequence", Annotated[family, tyro.conf.arg(name="")]),
                ("learner", learner, field(default=settings())),
            ],
            bases=(RunConfig,),
            frozen=True,
        )
    return _RUN_TYPES[key]


_RUN_TYPES: dict[tuple[Any, Any], type[RunConfig]] = {}


def find_family(name: Any) -> type[SequenceConfig]:
    """Return the family of worlds of a name, or raise ConfigError with the closest one."""
    if not isinstance(name, str) or name not in FAMILIES:
        raise ConfigError(unknown("family", str(name), FAMILIES))
    return FAMILIES[name]


def find_learner(name: Any) -> Any:
    """Return the settings' class of a learner, or raise ConfigError with the closest name."""
    if not isinstance(name, str) or name not in SETTINGS:
        raise ConfigError(unknown("learner", str(name), SETTINGS))
    return SETTINGS[name]


def find_method(name: Any) -> type[Method]:
    """Return the class of a method, by its name or where it stands, or raise ConfigError."""
    with said_as_config_error():
        return method_class(str(name))


def _stored_method(name: Any) -> type[Method]:
    """Return the class of a method that a run names; it may be one that only its program knows."""
    try:
        return find_method(name)
    except ConfigError as error:
        if ":" not in str(name):
            raise
        raise ConfigError(
            f"{error}; load_policy(directory, task, method=...) opens a run whose method has no "
            "importable name"
        ) from None


def _as_folder(sequence: SequenceConfig) -> str:
    """Return a sequence's name as a part of a folder's."""
    name = sequence.name.replace(",", "+")
    plain_name = "".join(c if c.isalnum() or c in "+-_." else "_" for c in name)
    return plain_name if len(plain_name) <= 60 else f"{len(sequence.tasks)}-tasks"


def _check_seeds(seeds: tuple[int, ...]) -> None:
    """Raise ConfigError unless there are seeds, none negative and none twice."""
    if not seeds or min(seeds) < 0:
        raise ConfigError(f"seeds is {list(seeds)}; give at least one, none negative")
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"seed {twice[0]} is given twice in seeds {','.join(map(str, seeds))}")


def _check_evaluations(sequence: SequenceConfig, evals: int) -> None:
    """Raise ConfigError, with the flag to give, unless evaluations divide every task."""
    for name, steps in zip(sequence.schedule.names, sequence.schedule.lengths, strict=True):
        if steps % evals:
            fits = min((n for n in range(1, min(steps, 2 * evals) + 1) if steps % n == 0),
                       key=lambda n: abs(n - evals))  # fmt: skip
            raise ConfigError(
                f"evals_per_task is {evals}, which does not divide the {steps} steps of {name}; "
                f"give --evals-per-task {fits}"
            )
