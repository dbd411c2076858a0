"""Settings of PPO, and what follows from them."""

import pytest

from clrl.agents.ppo.settings import PPOSettings
from tests.agents.tiny import (
    ppo,
)


def test_several_seeds_refuse_a_target_divergence() -> None:
    with pytest.raises(ValueError, match="target_kl is 0.1 with 2 seeds, but one seed cannot stop"):
        ppo(seeds=(0, 1), target_kl=0.1)


def test_a_linear_schedule_needs_its_length() -> None:
    with pytest.raises(ValueError, match="schedule_steps is 0; a linear schedule"):
        ppo(clip_range_schedule="linear")


def test_what_ppo_uses_comes_from_its_settings() -> None:
    assert PPOSettings.uses({}) == (True, True)
    assert PPOSettings.uses({"reset_optimizer": False, "multi_head": False}) == (False, False)


def test_a_linear_schedule_falls_to_zero_and_stays_there() -> None:
    settings = PPOSettings(learning_rate_schedule="linear", schedule_steps=100)
    assert [settings.left("linear", step) for step in (0, 25, 100, 130)] == [1.0, 0.75, 0.0, 0.0]
    assert settings.left("constant", 130) == 1.0


def test_updates_are_epochs_times_minibatches_of_every_full_rollout() -> None:
    settings = PPOSettings(n_steps=100, batch_size=30, n_epochs=3)
    assert settings.updates((250, 120), False) == 3 * 3 * 4  # 3 rollouts of 370 steps, 4 parts each
    assert settings.rows_stored((250, 120), False) == 200


def test_a_rollout_must_fit_into_a_task() -> None:
    PPOSettings().check_fit((2048, 2048), True)
    with pytest.raises(ValueError, match="n_steps is 2048, but a task has 2047 steps"):
        PPOSettings().check_fit((2048, 2047), True)
