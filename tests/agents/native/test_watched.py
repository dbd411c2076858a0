"""An engine holds addresses: whatever moves, grows or is replaced, its answers are torch's."""

import copy
import functools
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clrl.agents.native.watched import Watched, home_of, misplaced, not_ours
from clrl.agents.networks.heads import rest_heads
from clrl.agents.networks.layers import SeedLayerNorm, SeedLinear, exact_linear, keeping_hidden
from clrl.agents.sac import ContinualSAC
from clrl.agents.sac.policy import LogAlpha
from clrl.agents.sac.popart import PopArt
from tests.agents.paths import (
    agree,
    found,
    found_by_both,
    needs_compiled_code,
    on_torch,
    random_batch,
    same_found,
)
from tests.agents.test_growth import Growing
from tests.agents.tiny import randomise, sac, same_bits, vec

pytestmark = [
    needs_compiled_code,
    pytest.mark.filterwarnings("ignore:this update is computed by torch"),
]


def make(**settings: Any) -> ContinualSAC:
    """Return an agent whose engine has been used."""
    agent = sac(method=Growing(), seeds=(0, 1), n_tasks=3, update="native", **settings)
    randomise(agent, 0.1)
    found(agent, random_batch(agent, 16))
    assert agent.native.engine(agent) is not None
    return agent


def other(agent: ContinualSAC) -> ContinualSAC:
    """Return one with other weights and targets."""
    twin = make()
    for flat in twin.flats.values():
        flat.flat.mul_(1.3)
    return twin


# What an agent may go through, and an engine made before must take up


def loaded(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.load_state_dict(other(agent).state_dict())
    return agent


def loaded_policy(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.load_policy_state(other(agent).policy_state())
    return agent


def saved(agent: ContinualSAC, path: Path) -> ContinualSAC:
    other(agent).save(path / "agent")
    return ContinualSAC.load(path / "agent", vec(2, 3), method=Growing(), device="cpu")


def grown(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.method.grow(("actor", "critic", "target"))  # type: ignore[attr-defined]
    return agent


def actor_grown(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.method.grow(("actor",))  # type: ignore[attr-defined]
    return agent


def critic_grown(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.method.grow(("critic",))  # type: ignore[attr-defined]
    return agent


def widened(agent: ContinualSAC, path: Path) -> ContinualSAC:
    """Make one hidden layer of the actor wider than any of the critics'."""
    core = agent.actor.core
    core.layers[1] = SeedLinear((2,), 16, 70)
    core.layers.append(SeedLinear((2,), 70, 16))
    for layer in core.layers[1:]:
        assert isinstance(layer, SeedLinear)
        nn.init.normal_(layer.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    agent.make_optimizers()
    return agent


def optimizers_made(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.make_optimizers()
    return agent


def reinitialised(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.reinitialise()
    return agent


def copied(agent: ContinualSAC, path: Path) -> ContinualSAC:
    twin = copy.deepcopy(agent)
    assert twin.native._engine is None
    for flat in agent.flats.values():  # what it was made from may be gone
        flat.flat.fill_(float("nan"))
    weight = twin.critic.head.weight.clone()
    twin.update(random_batch(twin, 16))
    assert not torch.equal(weight, twin.critic.head.weight)  # the copy trains its own networks
    return twin


def taken(agent: ContinualSAC, path: Path) -> ContinualSAC:
    return agent.take(1)


def actor_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.actor = other(agent).actor
    agent.make_optimizers()
    gc.collect()
    return agent


def target_moved(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.flats["target"].flat.copy_(other(agent).flats["target"].flat)
    return agent


def target_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.target_critic = other(agent).target_critic
    agent.make_optimizers()
    return agent


def entropies_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.log_alpha = LogAlpha(2, 3)
    agent.log_alpha.value.data.fill_(-0.7)
    agent.make_optimizers()
    return agent


def gamma_set(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.settings = replace(agent.settings, gamma=0.5, learning_rate=0.1)
    return agent


def entropy_set(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.target_entropy = 5.0
    agent.optimizers["actor"].lr = 1.0
    return agent


def range_set(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.log_std_range = (-0.2, 0.1)  # type: ignore[misc]
    return agent


def popart_on(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.settings = replace(agent.settings, popart=True)
    agent.popart.mean.fill_(3.0)
    agent.make_optimizers()
    return agent


def tapes_were_open(agent: ContinualSAC, path: Path) -> ContinualSAC:
    with agent.recording():
        found(agent, random_batch(agent, 16))
    return agent


def heads_rested(agent: ContinualSAC, path: Path) -> ContinualSAC:
    rest_heads(agent.optimizers, agent.modules(), 0)
    agent.reset_optimizers()
    return agent


def hook_was_there(agent: ContinualSAC, path: Path) -> ContinualSAC:
    handle = agent.critic.core.register_forward_hook(lambda *_: None)
    found(agent, random_batch(agent, 16))
    handle.remove()
    return agent


def scaled_in_place(agent: ContinualSAC, path: Path) -> ContinualSAC:
    for parameter in agent.critic.parameters():
        parameter.data *= 1.1
    return agent


def other_norm_values(agent: ContinualSAC, path: Path) -> ContinualSAC:
    assert agent.actor.core.norm is not None
    agent.actor.core.norm.reset()
    return agent


def without_norm(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.actor.core.norm = None
    agent.reflatten("actor")
    return agent


def parameter_replaced(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.critic.head.weight = nn.Parameter(agent.critic.head.weight.detach() * 2)
    agent.reflatten("critic")
    return agent


def relu(agent: ContinualSAC, path: Path) -> ContinualSAC:
    agent.critic.core.activation = nn.functional.relu
    agent.actor.core.activation = torch.tanh
    return agent


TAKEN_UP = [
    loaded, loaded_policy, saved, grown, actor_grown, critic_grown, widened, optimizers_made,
    reinitialised, copied, taken, actor_replaced, target_moved, target_replaced,
    entropies_replaced, gamma_set, entropy_set, range_set, popart_on, tapes_were_open,
    heads_rested, hook_was_there, scaled_in_place, other_norm_values, without_norm,
    parameter_replaced, relu,
]  # fmt: skip


@pytest.mark.parametrize("change", TAKEN_UP, ids=lambda change: change.__name__)
def test_compiled_code_goes_on_with_what_is_there_now(
    change: Callable[[ContinualSAC, Path], ContinualSAC], tmp_path: Path
) -> None:
    agent = change(make(), tmp_path)
    for n in (5, 16, 40):
        batch = random_batch(agent, n, per_row=True, seed=n)
        if agree(agent, batch):  # it fails unless compiled code is in use
            break
    else:
        pytest.fail("nothing could be compared")
    obs, noise = batch.obs.numpy(), batch.noise.numpy()
    native = agent.act_on_features(obs, batch.task, noise)
    with on_torch(agent):
        torchs = agent.act_on_features(obs, batch.task, noise)
    assert abs(native - torchs).max() <= 2e-6


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


LEFT_TO_TORCH = [
    layer_replaced, layer_of_another_kind, layer_appended, layer_taken_away, norm_taken_away,
    norm_of_another_kind, data_replaced, target_data_replaced, entropies_data_replaced,
    actor_alone_replaced, forward_hook, forward_pre_hook, backward_hook, parameter_hook,
    forward_on_the_object, losses_on_the_object, another_class, activation_of_another_kind,
    fewer_heads, frozen_layer, in_double, other_optimizer, popart_of_another_kind,
]  # fmt: skip


@pytest.mark.parametrize("change", LEFT_TO_TORCH, ids=lambda change: change.__name__)
@pytest.mark.parametrize("popart", [False, True])
def test_what_compiled_code_cannot_follow_is_left_to_torch(
    change: Callable[[ContinualSAC], None], popart: bool
) -> None:
    agent = make(popart=popart)
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
        if change is not popart_of_another_kind or popart:
            assert not same_found(before, results[0])


CLASS_PATCHES = [
    (ContinualSAC, "losses"), (ContinualSAC, "_q"), (ContinualSAC, "_soft_target"),
    (ContinualSAC, "with_task"), (SeedLinear, "forward"), (SeedLayerNorm, "forward"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CLASS_PATCHES)
def test_a_patched_class_is_left_to_torch_until_it_is_as_before(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make()
    batch = random_batch(agent, 16)
    before = found(agent, batch)
    original = getattr(kind, name)

    @functools.wraps(original)  # it looks like the original, down to its module
    def doubled(*inputs: Any, **named: Any) -> Any:
        result = original(*inputs, **named)
        if isinstance(result, dict):
            return {part: 2 * loss for part, loss in result.items()}
        return 2 * result

    monkeypatch.setattr(kind, name, doubled)
    assert agent.engine(batch) is None
    now = found(agent, batch)
    with on_torch(agent):
        assert same_found(now, found(agent, batch))
    assert not all(same_bits(before[1][name], now[1][name]) for name in now[1])
    fresh = sac(n_tasks=3)
    assert (fresh.native.path, "not the library's own" in fresh.native.reason) == ("torch", True)
    monkeypatch.undo()
    assert same_found(before, found(agent, batch)) and agree(agent, batch)


def test_an_open_tape_is_written_and_the_answer_is_torchs() -> None:
    agent = make()
    batch = random_batch(agent, 16)
    for layer in (agent.actor.core.layers[0], agent.critic.head):
        layer.tape = []  # type: ignore[assignment]
        assert agent.engine(batch) is None
        agent.gradients_of(batch)
        assert layer.tape
        layer.tape = None  # type: ignore[assignment]
    with agent.recording() as layers:
        agent.gradients_of(batch)
    assert layers and agree(agent, batch)


def test_activations_that_are_to_be_kept_are_kept() -> None:
    agent = make()
    with keeping_hidden(agent.modules()) as passes:
        agent.gradients_of(random_batch(agent, 16))
        assert [len(passes[part]) for part in ("actor", "critic", "target")] == [2, 2, 0]


def test_a_replaced_method_of_an_object_counts_only_while_it_is_there() -> None:
    agent = make()
    batch = random_batch(agent, 16)
    losses_on_the_object(agent)
    assert agent.engine(batch) is None
    del agent.losses
    assert agree(agent, batch)


def test_an_engine_is_kept_as_long_as_nothing_changes() -> None:
    agent = make()
    engine = agent.native.engine(agent)
    for n in (1, 40, 3):
        agent.update(random_batch(agent, n))
    with exact_linear():
        assert agent.engine() is None
    agent.reset_optimizers()
    agent.target_entropy = -3.0
    assert agent.engine() is engine and isinstance(engine._watched, Watched)


def test_gradients_that_were_put_elsewhere_are_not_written_to_where_they_were() -> None:
    agent = make()
    optimizer = agent.optimizers["actor"]
    old = optimizer.grad
    optimizer.grad = torch.zeros(3)
    assert misplaced(agent) == "values or gradients of actor are not contiguous float32 on the CPU"
    old.fill_(5.0)
    assert agent.engine(random_batch(agent, 16)) is None
    optimizer.grad = torch.zeros_like(old)
    assert misplaced(agent) == "the optimizer of actor trains other parameters"
    assert (old == 5.0).all()


def test_a_learner_as_it_was_made_is_in_its_place() -> None:
    agent = make(popart=True)
    assert misplaced(agent) is None
    assert not_ours(agent, ("losses", "_soft_target"), ("clrl.agents.sac.sac",)) is None
    assert not_ours(agent, ("with_task",), ("clrl.agents.sac.sac",)) is not None


def test_a_function_was_written_where_its_globals_are() -> None:
    here = __name__

    @torch.no_grad()
    def plain() -> None: ...

    @functools.wraps(ContinualSAC.losses)
    def disguised() -> None: ...

    assert disguised.__module__ == "clrl.agents.sac.sac"
    assert (home_of(plain), home_of(disguised)) == (here, here)
    assert home_of(ContinualSAC._soft_target) == home_of(ContinualSAC.losses) != here
    assert home_of(print) == ""


def test_both_paths_are_compared_on_the_same_weights() -> None:
    agent = make()
    native, torchs = found_by_both(agent, random_batch(agent, 16))
    assert not same_found(native, torchs)  # else the tests above would compare one path with itself
