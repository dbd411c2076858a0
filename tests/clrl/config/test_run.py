import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clrl.agents.methods import METHODS
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.packnet import PackNet
from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.placement import LoggingConfig, PlacementConfig
from clrl.config.presets import PRESETS, base_config
from clrl.config.run import RunConfig, run_type
from clrl.envs.metaworld.tasks import METAWORLD_TASKS
from clrl.errors import ConfigError
from clrl.run.directory import differing

TASKS = "push-v3,window-close-v3"
STEPS = PRESETS["small"].sequence["steps_per_task"]
positive = st.floats(1e-9, 1e6, allow_nan=False)


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    evals = draw(st.integers(1, 20))
    steps = evals * draw(st.integers(10, 1000))
    starts = draw(st.integers(0, steps - 1))
    due = [freq for freq in (1, 7, 50) if -(-starts // freq) * freq < steps]
    sac = SACSettings(
        train_freq=draw(st.sampled_from(due)),
        learning_rate=draw(positive),
        batch_size=draw(st.integers(1, 512)),
        gamma=draw(st.floats(0, 1)),
        exploration_steps=draw(st.integers(0, steps - 1)),
        learning_starts=starts,
        hidden_sizes=tuple(draw(st.lists(st.integers(1, 512), min_size=1, max_size=4))),
        layer_norm=draw(st.booleans()),
        max_grad_norm=draw(st.none() | positive),
    )
    ppo = PPOSettings(
        n_steps=draw(st.sampled_from([n for n in range(1, steps + 1) if steps % n == 0])),
        clip_range_vf=draw(st.none() | positive),
        normalize_advantage=draw(st.sampled_from(["minibatch", "rollout", "none"])),
    )
    learner: Any = draw(st.sampled_from([sac, ppo]))
    packnet = PackNet(retrain_steps=draw(st.integers(0, steps)))
    tasks = tuple(draw(st.lists(st.sampled_from(METAWORLD_TASKS), min_size=1, max_size=5)))
    lengths: Any = draw(st.sampled_from([steps, (steps,) * (len(tasks) - 1) + (2 * steps,)]))
    return run_type(MetaWorldSequence, type(learner))(
        sequence=MetaWorldSequence(
            tasks=tasks,
            steps_per_task=lengths,
            score=draw(st.sampled_from(["success", "return"])),
            score_range=draw(st.sampled_from([None, (-1.0, 200.5)])),
            horizon=draw(st.integers(1, 500)),
            randomization=draw(st.sampled_from(["random_init_all", "deterministic"])),
        ),
        learner=learner,
        method=draw(st.sampled_from([packnet, EWC(coef=draw(positive)), METHODS["finetuning"]()])),
        evaluation=Evaluation(
            evals_per_task=evals,
            tasks=draw(st.sampled_from(["all", "economical"])),
            stop_at_success=draw(st.booleans()),
        ),
        seeds=tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True))),
        parity=draw(st.sampled_from(["clean", "original"])),
        placement=PlacementConfig(device=draw(st.sampled_from(["auto", "cpu", "cuda:1"]))),
        logging=LoggingConfig(wandb=draw(st.sampled_from(["off", "offline", "online"]))),
    )


@given(configs())
@settings(max_examples=60, deadline=None)
def test_a_configuration_comes_back_from_yaml_unchanged(config: RunConfig) -> None:
    again = RunConfig.from_dict(yaml.safe_load(config.to_yaml()))
    assert again == config
    assert again.hash == config.hash


def _leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        leaf
        for key, value in values.items()
        for leaf in (_leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)])
    ]


SMALL = base_config(TASKS, "packnet", "small")
OF_PPO = base_config(TASKS, "packnet", "small", "ppo")
KEYS = _leaves(SMALL.to_dict())
EVERY_KEY = [(SMALL, key) for key in KEYS]
EVERY_KEY += [(OF_PPO, key) for key in _leaves(OF_PPO.to_dict()) if key[0] == "learner"]
every_key = pytest.mark.parametrize(
    ("config", "path"), EVERY_KEY, ids=lambda x: ".".join(x) if isinstance(x, tuple) else x.hash
)


@every_key
def test_a_misspelt_key_is_refused_with_the_right_one(
    config: RunConfig, path: tuple[str, ...]
) -> None:
    if path[-1] in ("name", "family", "reward"):
        return  # taken out before the fields are looked at; its value is checked instead
    values = config.to_dict()
    section = values
    for key in path[:-1]:
        section = section[key]
    section[path[-1] + "x"] = section.pop(path[-1])
    with pytest.raises(ConfigError, match=f"did you mean '{'.'.join(path)}'"):
        RunConfig.from_dict(values)


@every_key
@pytest.mark.parametrize("wrong", [{}, [[]], float("nan"), "what?"], ids=repr)
def test_a_value_of_a_wrong_type_is_refused(
    config: RunConfig, path: tuple[str, ...], wrong: Any
) -> None:
    values = config.to_dict()
    section = values
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = wrong
    with pytest.raises(ConfigError):
        RunConfig.from_dict(values)


@pytest.mark.parametrize("values", [None, [], 3, {"sequence": 3}, {"method": []}, {}, {1: 2}])
def test_what_is_no_configuration_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError):
        RunConfig.from_dict(values)


def test_keys_of_config_yaml_are_those_that_tools_read() -> None:
    values = SMALL.to_dict()
    assert list(values) == [
        "sequence", "learner", "method", "evaluation", "seeds", "parity", "placement", "logging",
    ]  # fmt: skip
    assert values["sequence"] == {
        "family": "metaworld",
        "name": "push-v3,window-close-v3",
        "reward": "v2",
        "tasks": ["push-v3", "window-close-v3"],
        "steps_per_task": STEPS,
        "reveals": "task",
        "score": "success",
        "score_range": None,
        "horizon": 200,
        "randomization": "random_init_all",
        "fixes": "patched",
    }
    assert values["learner"]["name"] == "sac"
    assert values["method"] == {"name": "packnet", "retrain_steps": STEPS // 10}


def test_placement_and_logging_do_not_change_a_run_s_identity() -> None:
    moved = dataclasses.replace(
        SMALL, placement=PlacementConfig(threads=4), logging=LoggingConfig(wandb="offline")
    )
    assert moved.hash == SMALL.hash
    assert moved.directory == SMALL.directory
    assert differing(SMALL.identity(), moved.identity()) == []


@pytest.mark.parametrize("path", [key for key in KEYS if key[0] not in ("placement", "logging")])
def test_every_other_key_does(path: tuple[str, ...]) -> None:
    changed = SMALL.to_dict()
    section = changed
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = "something else"
    [line] = differing(SMALL.identity(), {k: changed[k] for k in SMALL.identity()})
    assert line.startswith(f"{'.'.join(path)}: ") and line.endswith(" -> something else")


def test_whole_numbers_given_for_fractions_make_the_same_run() -> None:
    one = dataclasses.replace(SMALL, learner=dataclasses.replace(SMALL.learner, learning_rate=1))
    other = dataclasses.replace(
        SMALL, learner=dataclasses.replace(SMALL.learner, learning_rate=1.0)
    )
    assert one.hash == other.hash


def test_the_default_directory_names_sequence_and_method() -> None:
    config = base_config("CW10", "ewc")
    assert config.directory == Path(f"runs/CW10-ewc-{config.hash}")
    assert len(config.hash) == 8
    assert SMALL.directory.name.startswith("push-v3+window-close-v3-packnet-")
    assert base_config(",".join(METAWORLD_TASKS[:7]), "ewc").directory.name.startswith(
        "7-tasks-ewc-"
    )


def _run(**changes: Any) -> RunConfig:
    sections: dict[str, dict[str, Any]] = {"sequence": {}, "learner": {}, "evaluation": {}}
    values = SMALL.to_dict()
    for key, value in changes.items():
        section = next((s for s in sections if key in values[s] and key != "tasks"), None)
        (values[section] if section else values)[key] = value
    return RunConfig.from_dict(values)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps_per_task": 0}, "steps_per_task must be whole numbers >= 1, got 0"),
        ({"horizon": 0}, "horizon is 0; it must be in 1..500"),
        ({"horizon": 501}, "horizon is 501; it must be in 1..500"),
        (
            {"reward": "v1"},
            "sequence.reward is 'v1', but the rest of the configuration makes it 'v2'",
        ),
        ({"gamma": 1.1}, r"sac.gamma is 1.1; it must be in 0..1"),
        ({"batch_size": 0}, "sac.batch_size is 0; it must be above 0"),
        ({"learning_rate": float("inf")}, "sac.learning_rate is inf; it must be above 0"),
        ({"initial_log_alpha": float("nan")}, "sac.initial_log_alpha is nan; it must be finite"),
        ({"hidden_sizes": [64, 0]}, r"sac.hidden_sizes is \(64, 0\); it must be above 0"),
        ({"hidden_sizes": []}, "sac.hidden_sizes is empty"),
        ({"exploration_steps": STEPS}, f"give --sac.exploration-steps of at most {STEPS - 1}"),
        ({"learning_starts": STEPS}, f"give --sac.learning-starts of at most {STEPS - 1}"),
        (
            {"evals_per_task": 7},
            f"the {STEPS} steps of push-v3; give --evals-per-task 6",
        ),
        ({"evals_per_task": 0}, "evals_per_task is 0"),
        ({"seeds": [0, 1, 0]}, "seed 0 is given twice in seeds 0,1,0"),
        ({"seeds": []}, "give at least one"),
        ({"seeds": [-1]}, "none negative"),
        ({"parity": "origin"}, "parity is 'origin'; it must be clean or original"),
        ({"method": {"name": "packnet", "retrain_steps": 18_001}}, "give --retrain-steps of at"),
        ({"method": {"name": "ewc", "coef": -1.0}}, "coef is -1.0"),
        ({"method": {"name": "ecw"}}, "unknown method 'ecw'; did you mean 'ewc'"),
        ({"placement": {"device": "tpu"}}, "it must be auto, cpu, cuda or cuda:N"),
        ({"placement": {"threads": 0}}, "placement.threads is 0; it must be at least 1"),
        ({"logging": {"log_every": 0}}, "logging.log_every is 0; it must be at least 1"),
    ],
)
def test_a_bad_value_is_refused_with_field_value_and_what_is_allowed(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _run(**changes)


def test_the_choices_are_those_of_the_environment() -> None:
    from clrl.envs.metaworld import world

    hints = typing.get_type_hints(MetaWorldSequence)
    assert typing.get_args(hints["randomization"]) == world.RANDOMIZATIONS
    assert typing.get_args(hints["fixes"]) == world.FIXES


def test_the_identity_is_plain_json() -> None:
    assert json.loads(json.dumps(SMALL.identity())) == SMALL.identity()
