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
    assert settings.updates((250, 160), False) == 4 * 3 * 4  # 4 rollouts of 410 steps, 4 parts each
    assert settings.rows_stored((250, 160), False) == 200


def test_a_rollout_must_fit_into_a_task() -> None:
    PPOSettings().check_fit((2048, 2048), True)
    with pytest.raises(ValueError, match="n_steps is 2048, but a task has 2047 steps"):
        PPOSettings().check_fit((2048, 2047), True)


@pytest.mark.parametrize(
    ("n_steps", "lengths", "fits"),
    [
        (2048, (1_000_000,) * 10, 2000),
        (2048, (7_500, 7_500), 1875),
        (500, (7_500, 7_600), 100),  # of the common divisors 1, 2, 4, 5, 10, 20, 25, 50, 100
        (2048, (10_007, 10_007), 1),  # a prime
        (2048, (4_099 * 2, 4_099 * 2), 4099),  # 2 is no rollout
        (2048, (2_048, 2_049), 1),
    ],
)
def test_a_rollout_over_the_end_of_a_task_is_refused_with_what_fits(
    n_steps: int, lengths: tuple[int, ...], fits: int
) -> None:
    settings = PPOSettings(n_steps=n_steps)
    with pytest.raises(ValueError, match=f"n_steps is {n_steps}, .*give --ppo.n-steps {fits}$"):
        settings.check_fit(lengths, True, True)
    PPOSettings(n_steps=fits).check_fit(lengths, True, True)
    settings.check_fit(lengths, True, False)  # nothing acts there
    settings.check_fit(lengths[:1], True, True)  # no boundary
