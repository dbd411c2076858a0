"""SI: the path integral, against the worked example and a step taken by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clrl.agents import randomness
from clrl.agents.methods.si import SI
from clrl.agents.sac import ContinualSAC
from tests.agents.tiny import fill, randomise, sac


class Descent:
    """Gradient descent on (x - 1)^2 from 0, with the method's hooks around each step."""

    def __init__(self, method: SI):
        self.x = nn.Parameter(torch.zeros(1, 1))
        gradient = torch.zeros(1, 1)
        learner: Any = SimpleNamespace(
            protected_parameters=lambda: {"x": self.x}, gradients=lambda: {"x": gradient}
        )
        method.attach(learner)
        method.on_task_start(0)
        for _ in range(200):
            method.penalty()
            gradient.copy_(2.0 * (self.x.detach() - 1.0))
            method.adjust_gradients()
            self.x.data.sub_(0.01 * gradient)
            method.after_step()


def test_path_integral_and_importance_of_a_descent_are_the_worked_ones() -> None:
    method = SI()
    descent = Descent(method)
    saved = 1.0 - (1.0 - float(descent.x.detach())) ** 2
    assert saved == pytest.approx(0.99969, abs=1e-5)
    assert float(method.state["omega.x"]) == pytest.approx(1.00979, abs=1e-5)
    method.on_task_end(0)
    assert float(method.state["importance.x"]) == pytest.approx(0.94804, abs=1e-5)
    assert float(method.state["anchor.x"]) == float(descent.x.detach())
    method.on_task_start(1)
    assert float(method.state["omega.x"]) == 0.0


def agent_in_second_task() -> ContinualSAC:
    agent = sac(method=SI(coef=10.0), seeds=(0, 1))
    fill(agent)
    agent.start_task(0)
    for _ in range(10):
        agent.update(agent.sample(None, randomness.REPLAY))
    agent.end_task()
    agent.start_task(1)
    randomise(agent, 0.1)
    return agent


def test_the_path_integral_takes_the_losses_own_gradient_and_the_step_really_made() -> None:
    agent = agent_in_second_task()
    batch = agent.sample(None, randomness.REPLAY)
    agent.take_gradients(agent.losses(batch))
    own = {name: gradient.clone() for name, gradient in agent.gradients().items()}
    before = {name: p.detach().clone() for name, p in agent.protected_parameters().items()}
    losses = agent.update(batch)
    assert bool((losses["penalty"] > 0.01).all())
    differs = False
    for name, parameter in agent.protected_parameters().items():
        expected = -own[name] * (parameter.detach() - before[name])
        torch.testing.assert_close(
            agent.method.state[f"omega.{name}"], expected, rtol=1e-3, atol=1e-8
        )
        differs = differs or not torch.allclose(own[name], agent.gradients()[name], rtol=0.1)
    assert differs  # what the optimizer got has the penalty's gradient in it


def test_a_task_adds_to_importance_and_what_made_things_worse_takes_from_it() -> None:
    agent = agent_in_second_task()
    state, expected = agent.method.state, {}
    assert not any("head" in name for name in state)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in agent.protected_parameters().items():
        omega = torch.randn(parameter.shape, generator=generator)
        state[f"omega.{name}"].copy_(omega)
        way: Tensor = parameter.detach() - state[f"anchor.{name}"]
        total = state[f"importance.{name}"] + omega / (way**2 + 0.1)
        expected[name] = total.clamp(min=0.0)
    agent.end_task()
    for name, importance in expected.items():
        torch.testing.assert_close(state[f"importance.{name}"], importance)
    assert any(bool((importance == 0).any()) for importance in expected.values())


def test_xi_is_above_zero() -> None:
    with pytest.raises(ValueError, match="xi is 0.0; it must be above 0"):
        SI(xi=0.0)
