"""Fine-tuning: the method that does nothing."""

import torch

from clrl.agents import randomness
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.settings.learners import SETTINGS
from tests.agents.tiny import fill, sac, total_differences, weights


def test_it_keeps_nothing_and_is_what_an_agent_without_a_method_does() -> None:
    named, none = (sac(method=method, seeds=(0, 1)).learn(90) for method in (Finetuning(), None))
    assert type(none.method) is Finetuning and named.method.state == {}
    assert total_differences(named.state_dict(), none.state_dict()) == []
    assert named.n_updates > 50 and "method/penalty" not in named.losses_log()


def test_it_works_on_every_learner_and_needs_to_be_told_nothing() -> None:
    assert Finetuning.refusals() == {}
    assert not Finetuning.uses_task_id and not Finetuning.uses_task_boundaries
    for learner in SETTINGS:
        Finetuning.check_learner(learner)


def test_its_update_is_a_step_of_adam_on_the_learners_own_gradient() -> None:
    agent = sac(seeds=(0, 1))
    fill(agent)
    batch, before = agent.sample(None, randomness.REPLAY), weights(agent)
    agent.take_gradients(agent.losses(batch))
    gradients = {name: gradient.clone() for name, gradient in agent.gradients().items()}
    agent.update(batch)
    for name, gradient in gradients.items():
        step = weights(agent)[f"actor.{name}"] - before[f"actor.{name}"]
        moved = gradient.abs() > 1e-3  # Adam's first step is the learning rate, against the sign
        torch.testing.assert_close(
            step[moved], -1e-3 * gradient[moved].sign(), rtol=2e-3, atol=1e-7
        )
