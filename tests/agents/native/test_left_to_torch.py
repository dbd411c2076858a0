"""What is done to an agent that compiled code cannot follow, and torch does."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from clrl.agents.networks.layers import SeedLayerNorm, SeedLinear
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.policy import LogAlpha
from clrl.agents.sac.popart import PopArt
from tests.agents.native.agents import with_engine
from tests.agents.paths import (
    found,
    needs_compiled_code,
    random_batch,
    same_found,
)

pytestmark = [
    needs_compiled_code,
    pytest.mark.filterwarnings("ignore:this update is computed by torch"),
]


# What compiled code cannot follow


def layer_replaced(agent: ContinualSAC) -> None:
    layer = agent.critic.core.layers[0]
    agent.critic.core.layers[0] = copy.deepcopy(layer)  # outside of the flat tensor


def layer_of_another_kind(agent: ContinualSAC) -> None:
    class Doubling(SeedLinear):
        def forward(self, x: Tensor, rows: slice | None = None) -> Tensor:
            return 2 * super().forward(x, rows)

    agent.critic.head.__class__ = Doubling


def layer_appended(agent: ContinualSAC) -> None:
    agent.actor.core.layers.append(SeedLinear((2,), 16, 16))  # and not reflattened


def layer_taken_away(agent: ContinualSAC) -> None:
    del agent.actor.core.layers[1]


def norm_taken_away(agent: ContinualSAC) -> None:
    agent.critic.core.norm = None


def norm_of_another_kind(agent: ContinualSAC) -> None:
    class Nothing(SeedLayerNorm):
        def forward(self, x: Tensor) -> Tensor:
            return x

    agent.critic.core.norm.__class__ = Nothing


def data_replaced(agent: ContinualSAC) -> None:
    weight = agent.actor.core.layers[0].weight
    assert isinstance(weight, Tensor)
    weight.data = 2 * weight.data


def target_data_replaced(agent: ContinualSAC) -> None:
    agent.target_critic.head.bias.data = agent.target_critic.head.bias.data + 3


def entropies_data_replaced(agent: ContinualSAC) -> None:
    agent.log_alpha.value.data = agent.log_alpha.value.data - 1


def actor_alone_replaced(agent: ContinualSAC) -> None:
    agent.actor = copy.deepcopy(agent.actor)


def forward_hook(agent: ContinualSAC) -> None:
    agent.actor.core.register_forward_hook(lambda module, inputs, output: 2 * output)


def forward_pre_hook(agent: ContinualSAC) -> None:
    agent.critic.head.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0], *inputs[1:]))


def backward_hook(agent: ContinualSAC) -> None:
    agent.critic.head.register_full_backward_hook(_doubled)


def _doubled(module: nn.Module, of_inputs: Any, of_outputs: Any) -> tuple[Tensor]:
    return (2 * of_inputs[0],)


def parameter_hook(agent: ContinualSAC) -> None:
    agent.critic.head.weight.register_hook(lambda gradient: 3 * gradient)


def forward_on_the_object(agent: ContinualSAC) -> None:
    core = agent.actor.core
    core.forward = lambda x: 2 * type(core).forward(core, x)  # type: ignore[method-assign]


def losses_on_the_object(agent: ContinualSAC) -> None:
    agent.losses = lambda batch: {  # type: ignore[method-assign]
        part: 2 * loss for part, loss in ContinualSAC.losses(agent, batch).items()
    }


def another_class(agent: ContinualSAC) -> None:
    class Doubled(ContinualSAC):
        def losses(self, batch: Any) -> dict[str, Tensor]:
            return {part: 2 * loss for part, loss in super().losses(batch).items()}

    agent.__class__ = Doubled


def activation_of_another_kind(agent: ContinualSAC) -> None:
    agent.critic.core.activation = nn.functional.elu


def fewer_heads(agent: ContinualSAC) -> None:
    agent.critic.heads = 1
    agent.critic.outputs = 3


def frozen_layer(agent: ContinualSAC) -> None:
    agent.actor.core.layers[0].bias.requires_grad_(False)


def in_double(agent: ContinualSAC) -> None:
    agent.actor.double()


def other_optimizer(agent: ContinualSAC) -> None:
    optimizer = agent.optimizers.pop("alpha")
    agent.optimizers["popart"] = optimizer  # a part that compiled code does not train
    agent.flats["popart"] = agent.flats["alpha"]


def popart_of_another_kind(agent: ContinualSAC) -> None:
    class Shifted(PopArt):
        def restore(self, values: Tensor, task: int | Tensor) -> Tensor:
            return super().restore(values, task) + 1

    agent.popart.__class__ = Shifted


def popart_restores_on_the_object(agent: ContinualSAC) -> None:
    popart = agent.popart
    popart.restore = (  # type: ignore[method-assign]
        lambda values, task: PopArt.restore(popart, values, task) + 1
    )


def entropies_on_the_object(agent: ContinualSAC) -> None:
    log_alpha = agent.log_alpha
    log_alpha.of = lambda task: LogAlpha.of(log_alpha, task) - 1  # type: ignore[method-assign]


LEFT_TO_TORCH = [
    layer_replaced, layer_of_another_kind, layer_appended, layer_taken_away, norm_taken_away,
    norm_of_another_kind, data_replaced, target_data_replaced, entropies_data_replaced,
    actor_alone_replaced, forward_hook, forward_pre_hook, backward_hook, parameter_hook,
    forward_on_the_object, losses_on_the_object, another_class, activation_of_another_kind,
    fewer_heads, frozen_layer, in_double, other_optimizer, popart_of_another_kind,
    popart_restores_on_the_object, entropies_on_the_object,
]  # fmt: skip


@pytest.mark.parametrize("change", LEFT_TO_TORCH, ids=lambda change: change.__name__)
@pytest.mark.parametrize("popart", [False, True])
def test_what_compiled_code_cannot_follow_is_left_to_torch(
    change: Callable[[ContinualSAC], None], popart: bool
) -> None:
    agent = with_engine(popart=popart)
    batch = random_batch(agent, 16, per_row=True)
    before = found(agent, batch)
    change(agent)
    results: list[Any] = []
    for path in ("native", "torch"):
        agent.native.path = path
        assert agent.engine(batch) is None
        try:
            results.append(found(agent, batch))
        except (RuntimeError, IndexError) as error:
            results.append(str(error))
    if isinstance(results[0], str):
        assert results[0] == results[1]
    else:
        assert same_found(*results)
        if popart or change not in (popart_of_another_kind, popart_restores_on_the_object):
            assert not same_found(before, results[0])
