"""What a run costs: counted steps, and a time that grows with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clrl.agents.ppo.settings import PPOSettings
from clrl.config.evaluation import Evaluation
from clrl.config.families import MetaWorldSequence
from clrl.config.placement import PlacementConfig
from clrl.config.presets import base_config
from clrl.envs.metaworld.tasks import CW10
from clrl.machine.costs import Costs, expected_costs


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


def test_a_time_is_said_only_of_a_cpu() -> None:
    on = {
        device: expected_costs(
            replace(base_config("CW10", "ewc"), placement=PlacementConfig(device))
        ).seconds
        for device in ("cpu", "cuda")
    }
    assert on["cuda"] is None
    # Meta-World's steps alone, and their policy calls
    assert on["cpu"] is not None and on["cpu"] > 10_000_000 * (
        0.3e-3 + MetaWorldSequence.step_seconds
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (90, "about 90 seconds on this CPU"),
        (91, "about 2 minutes on this CPU"),
        (3_600, "about 1.0 hours on this CPU"),
        (36_360, "about 10 hours on this CPU"),
        (None, "not estimated for a GPU"),
    ],
)
def test_costs_are_three_lines_to_read(seconds: float | None, said: str) -> None:
    lines = str(Costs(2_000, 30_000, 4, 1_500, seconds)).splitlines()
    assert lines[0] == "training    2,000 steps and 1,500 updates per seed"
    assert lines[1] == "evaluation  30,000 steps per seed, in 4 evaluations"
    assert lines[2].startswith(f"time        {said}") and len(lines) == 3
