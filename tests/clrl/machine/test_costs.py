"""What a run costs: counted steps, and a time that grows with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from clrl.agents.ppo.settings import PPOSettings
from clrl.agents.sac.settings import SACSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.placement import PlacementConfig
from clrl.config.presets import base_config
from clrl.envs.metaworld.tasks import CW10
from clrl.machine import costs
from clrl.machine.costs import (
    EVALUATED_SECONDS,
    START_SECONDS,
    STEP_SECONDS,
    UPDATES,
    Costs,
    UpdateTime,
    expected_costs,
    on_cpu,
    update_seconds,
)


def test_updates_of_ppo_are_epochs_times_minibatches_of_every_rollout() -> None:
    config = base_config("CW10", "finetuning", "small", "ppo")
    learner = PPOSettings(n_steps=2048, batch_size=100, n_epochs=3, reset_optimizer=False)
    config = replace(config, learner=learner, evaluation=Evaluation(),
                     sequence=MetaWorldSequence(CW10, 10_000))  # fmt: skip
    assert expected_costs(config).updates == 48 * 3 * 21  # 100,000 steps hold 48 rollouts


def test_interleaved_tasks_wait_for_their_first_update_once() -> None:
    updates = {
        name: expected_costs(base_config("CW10", name)).updates for name in ("l2", "multitask")
    }
    assert updates["multitask"] - updates["l2"] == 9 * 1_000


def test_steps_of_the_published_run_are_counted() -> None:
    costs = expected_costs(base_config("CW20", "ewc"))
    assert (costs.training, costs.evaluations) == (20_000_000, 1_000)
    assert costs.updates == 20_000_000 - 20 * 1_000  # the first of each task only fill the buffer
    assert costs.evaluation == 1_000 * 20 * 11 * 200  # tasks, episodes, steps of an episode


def test_economical_evaluation_costs_a_twentieth() -> None:
    config = replace(base_config("CW20", "ewc"), evaluation=Evaluation(tasks="economical"))
    # 1,000 evaluations of 11 episodes of 200 steps, and 19 more tasks at the last five
    assert expected_costs(config).evaluation == (1000 + 5 * 19) * 2200


def test_a_stream_is_evaluated_on_its_examples_without_any_simulation() -> None:
    config = base_config("toy", "finetuning")
    costs = expected_costs(config)
    assert costs.evaluation == 50 * 3 * 3 * config.sequence.evaluated(1)
    assert f"evaluation  {costs.evaluation:,} examples per seed" in str(costs)


def placed(config: Any, device: str) -> Any:
    """The configuration on a device."""
    return replace(config, placement=PlacementConfig(device))


def test_a_time_is_said_only_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    config = base_config("CW10", "ewc")
    for gpu, said in ((False, {"cpu", "auto"}), (True, {"cpu"})):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        devices = {d for d in ("cpu", "cuda", "auto") if on_cpu(placed(config, d))}
        assert devices == said
        for device in ("cpu", "cuda", "auto"):
            assert (expected_costs(placed(config, device)).seconds is not None) == (device in said)


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], UpdateTime]:
    """A table of times that a test may change."""
    table = dict(UPDATES)
    monkeypatch.setattr(costs, "UPDATES", table)
    return table


SAC = SACSettings(hidden_sizes=(10, 20), batch_size=8)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (UpdateTime(once=1.0, unit=0, product=0), 1),
        (UpdateTime(once=0, unit=1.0, product=0), 3 * 16 * 8 * 30),
        (UpdateTime(once=0, unit=0, product=1.0), 3 * 16 * 8 * (39 * 10 + 10 * 20)),
    ],
)
def test_an_update_takes_its_constants_times_what_is_counted(
    time: UpdateTime, seconds: int, updates: dict[tuple[str, str], UpdateTime]
) -> None:
    """Of three seeds: passes, rows, hidden units and the multiply-adds between them."""
    updates["sac", "torch"] = time
    config = replace(base_config("reach-v3", "finetuning"), learner=SAC, seeds=(0, 1, 2))
    assert update_seconds(config, "torch") == pytest.approx(seconds)
    updates["sac", "native"] = UpdateTime(7.0, 0, 0)
    assert update_seconds(config, "native") == 7.0


def test_a_learner_without_a_native_update_takes_torch_s() -> None:
    config = base_config("toy", "finetuning")
    assert update_seconds(config, "native") == update_seconds(config, "torch") > 0


@pytest.mark.parametrize("learner", ["sac", "ppo"])
def test_an_agent_s_native_updates_are_said_to_take_less(learner: str) -> None:
    config = placed(base_config("CW10", "ewc", "small", learner), "cpu")
    native, torch_s = (expected_costs(config, path).seconds for path in ("native", "torch"))
    assert native is not None and torch_s is not None and native < torch_s


def test_a_run_s_time_is_that_of_its_steps_its_evaluations_and_its_updates(
    updates: dict[tuple[str, str], UpdateTime],
) -> None:
    config = placed(replace(base_config("CW10", "vcl"), seeds=(0, 1)), "cpu")
    updates["sac", "torch"] = UpdateTime(0.5, 0, 0)
    found, world = expected_costs(config, "torch"), MetaWorldSequence.step_seconds
    assert found.seconds == pytest.approx(
        START_SECONDS
        + found.training * (STEP_SECONDS + 2 * world)
        + 2 * found.evaluation * (world + EVALUATED_SECONDS)
        + found.updates * 0.5 * config.method.update_factor
    )
    assert config.method.update_factor > 1.5


@pytest.mark.parametrize(
    ("learner", "path", "hidden", "batch", "seeds", "milliseconds"),
    [
        ("sac", "torch", (64, 64), 128, 1, 3.1),
        ("sac", "torch", (64, 64), 128, 4, 6.4),
        ("sac", "torch", (256, 256), 128, 1, 9.2),
        ("sac", "torch", (256, 256), 128, 4, 25.3),
        ("sac", "torch", (256,) * 4, 128, 1, 17.1),
        ("sac", "torch", (256,) * 4, 128, 4, 54.3),
        ("sac", "torch", (256,) * 4, 512, 1, 47.7),
        ("sac", "native", (64, 64), 128, 1, 0.74),
        ("sac", "native", (64, 64), 128, 4, 2.43),
        ("sac", "native", (256, 256), 128, 1, 5.1),
        ("sac", "native", (256,) * 4, 128, 1, 11.0),
        ("sac", "native", (256,) * 4, 128, 4, 42.4),
        ("sac", "native", (256,) * 4, 512, 1, 38.5),
        ("ppo", "torch", (64, 64), 64, 1, 1.44),
        ("ppo", "torch", (64, 64), 64, 4, 2.09),
        ("ppo", "torch", (256, 256), 128, 1, 3.64),
        ("ppo", "torch", (256, 256), 128, 4, 9.2),
        ("ppo", "native", (64, 64), 64, 1, 0.44),
        ("ppo", "native", (64, 64), 64, 4, 0.67),
        ("ppo", "native", (256, 256), 128, 1, 1.65),
        ("ppo", "native", (256, 256), 128, 4, 5.7),
    ],
)
def test_the_constants_give_the_times_that_were_measured(
    learner: str, path: str, hidden: tuple[int, ...], batch: int, seeds: int, milliseconds: float
) -> None:
    """Medians of CPU time on the machine that the constants name, torch 2.13."""
    config = base_config("reach-v3", "finetuning", "small", learner)
    settings = replace(config.learner, hidden_sizes=hidden, batch_size=batch)
    config = replace(config, learner=settings, seeds=tuple(range(seeds)))
    assert update_seconds(config, path) == pytest.approx(milliseconds * 1e-3, rel=0.25)


def test_the_same_run_is_always_said_to_take_the_same_time() -> None:
    first, second = (str(expected_costs(base_config("CW20", "ewc"))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (90, "about 90 seconds on one core of an AMD EPYC (Zen 4); others differ"),
        (91, "about 2 minutes on one core of an AMD EPYC (Zen 4); others differ"),
        (3_600, "about 1.0 hours on one core of an AMD EPYC (Zen 4); others differ"),
        (36_360, "about 10 hours on one core of an AMD EPYC (Zen 4); others differ"),
        (None, "not estimated for a GPU"),
    ],
)
def test_costs_are_three_lines_to_read(seconds: float | None, said: str) -> None:
    lines = str(Costs(2_000, 30_000, 4, 1_500, seconds)).splitlines()
    assert lines[0] == "training    2,000 steps and 1,500 updates per seed"
    assert lines[1] == "evaluation  30,000 steps per seed, in 4 evaluations"
    assert lines[2].startswith(f"time        {said}") and len(lines) == 3
