"""What every method inherits: the checks that refuse it, its shares of a task, its gradients."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from clrl.agents.methods import METHODS
from clrl.agents.methods.base import Method
from clrl.agents.methods.ewc import EWC
from clrl.agents.methods.finetuning import Finetuning
from clrl.agents.methods.packnet import PackNet
from clrl.agents.sac.settings import SACSettings
from clrl.agents.settings.fields import number
from clrl.agents.settings.learners import make_settings
from tests.agents.telling import telling
from tests.agents.tiny import (
    method,
    ppo,
    sac,
)


@pytest.mark.parametrize("kl", [1e-3, 0.02, 10.0])
def test_a_method_that_draws_its_weights_refuses_target_kl(kl: float) -> None:
    with pytest.raises(ValueError, match=f"target_kl is {kl} with VCL; allowed is None"):
        ppo(method=method("vcl"), target_kl=kl)
    assert ppo(method=method("vcl"), target_kl=None).learn(32).n_updates > 0


@pytest.mark.parametrize("name", ["packnet", "vcl"])
def test_a_method_that_freezes_weights_refuses_weight_decay(name: str) -> None:
    with pytest.raises(ValueError, match="weight_decay is 0.1 with .*; allowed is 0"):
        ppo(method=method(name), weight_decay=0.1)


def test_a_method_that_needs_more_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="EWC needs to be told when a task ends.*nothing"):
        sac(telling("nothing"), EWC(), (4, 2))
    with pytest.raises(ValueError, match="PackNet needs to be told which task.*boundaries"):
        ppo(telling("boundaries"), PackNet(), (4, 2))
    sac(telling("boundaries"), EWC(), (4, 2))
    sac(telling("nothing"), Finetuning(), (4, 2))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("reveals", ["task", "boundaries", "nothing"])
def test_a_method_is_refused_by_name_where_it_is_told_too_little(name: str, reveals: str) -> None:
    kind = METHODS[name]
    fits = reveals == "task" or not (kind.uses_task_id or kind.uses_task_boundaries)
    fits = fits or (reveals == "boundaries" and not kind.uses_task_id)
    if fits:
        make_settings(SACSettings, None, kind(), {}, reveals)
    else:
        with pytest.raises(ValueError, match=f"{kind.__name__} needs to be told .* --reveals "):
            make_settings(SACSettings, None, kind(), {}, reveals)


@dataclass
class Rehearsal(Method):
    """A user's own method, with a field that is a share of a task."""

    rehearsal_steps: int = number(1_000, least=0, task_share=0.25)
    rows: int = number(10, above=0)


def test_a_share_of_a_task_follows_its_length_and_is_refused_where_it_does_not_fit() -> None:
    assert Rehearsal.scaled(90) == {"rehearsal_steps": 22}
    assert Method.scaled(90) == {}
    with pytest.raises(ValueError, match="a task has 999 steps .*--rehearsal-steps of at most"):
        Rehearsal().check_fit((5_000, 999))
    Rehearsal().check_fit((5_000, 1_000))
    Rehearsal(rehearsal_steps=22).check_fit((90,))


def test_a_field_out_of_its_range_is_refused_by_the_methods_constructor() -> None:
    with pytest.raises(ValueError, match="rows is 0"):
        Rehearsal(rows=0)


class Decay(Method):
    """Pulls the first layer to zero."""

    def penalty(self) -> Tensor | None:
        weight = self.learner.protected_parameters()["core.layers.0.weight"]
        return 3.0 * weight.square().flatten(1).sum(1)


def test_the_gradients_of_a_penalty_with_a_graph_are_those_of_each_seeds_own() -> None:
    agent = sac(method=Decay(), seeds=(0, 1))
    penalty = agent.method.penalty()
    assert penalty is not None
    gradients, parameters = agent.method.penalty_gradients(penalty), agent.protected_parameters()
    assert gradients.keys() == parameters.keys()
    for name, gradient in gradients.items():
        pull = 6.0 if name == "core.layers.0.weight" else 0.0
        torch.testing.assert_close(gradient, pull * parameters[name].detach())
