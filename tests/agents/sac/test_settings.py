"""Settings of SAC, and what follows from them."""

import pytest

from clrl.agents.sac.settings import SACSettings
from tests.agents.tiny import sac


def test_the_defaults_are_continual_worlds() -> None:
    settings = SACSettings()
    assert (settings.learning_rate, settings.batch_size, settings.gamma) == (1e-3, 128, 0.99)
    assert (settings.tau, settings.buffer_size) == (0.005, 1_000_000)
    assert (settings.adam_beta1, settings.adam_beta2, settings.adam_eps) == (0.9, 0.999, 1e-7)
    assert settings.hidden_sizes == (256, 256, 256, 256) and settings.layer_norm
    assert settings.initial_log_alpha == 1.0 and settings.max_grad_norm is None
    agent = sac()
    assert bool((agent.log_alpha.value == 1.0).all())
    assert all(optimizer.keras_eps for optimizer in agent.optimizers.values())


def test_exploring_with_old_heads_is_refused_without_heads() -> None:
    with pytest.raises(ValueError, match="exploration is best_return.*multi_head"):
        sac(exploration="best_return", multi_head=False)


def test_tasks_of_different_lengths_are_counted_one_by_one() -> None:
    sac = SACSettings(learning_starts=10, train_freq=10, gradient_steps=2, buffer_size=1_000)
    assert sac.updates((100, 35), False) == 2 * (9 + 2)
    assert sac.updates((100, 35), True) == 2 * 12
    assert sac.rows_stored((100, 35), False) == 100
    assert sac.rows_stored((100, 35), True) == 135
    assert sac.with_rows(135).buffer_size == 135
    with pytest.raises(ValueError, match="exploration_steps is 10000, but a task has 35 steps"):
        sac.check_fit((100_000, 35), True)
    with pytest.raises(ValueError, match="is 10000, but the run has 10000 steps .* at most 9999"):
        sac.check_fit((9_000, 1_000), False)
    sac.check_fit((9_000, 1_001), False)


def test_what_sac_uses_comes_from_its_settings() -> None:
    assert SACSettings.uses({}) == (True, True)
    off = {name: False for name in ("reset_buffer", "reset_optimizer", "multi_head")}
    assert SACSettings.uses(off) == (True, False)  # it explores every task
    still = off | {"exploration_steps": 0, "learning_starts": 0}
    assert SACSettings.uses(still) == (False, False)
    assert SACSettings.uses(still | {"hide_task_id": False}) == (False, True)


@pytest.mark.parametrize(
    ("starts", "freq", "steps", "fits"),
    [(20, 1_000, 90, 20), (50, 48, 90, 50), (89, 45, 90, 89), (1, 90, 90, 1)],
)
def test_settings_under_which_nothing_is_ever_learned_are_refused(
    starts: int, freq: int, steps: int, fits: int
) -> None:
    settings = SACSettings(exploration_steps=0, learning_starts=starts, train_freq=freq)
    with pytest.raises(ValueError, match=f"no update falls into {steps} .*--sac.train-freq {fits}"):
        settings.check_fit((10**6, steps), True)
    settings.check_fit((10**6, steps), False)
    SACSettings(exploration_steps=0, learning_starts=starts, train_freq=fits).check_fit(
        (steps,), True
    )
