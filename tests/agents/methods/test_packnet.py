"""PackNet: who owns which weight, and that old tasks keep theirs for ever."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.learner import MEASURE_EVERY
from clrl.agents.methods.packnet import PackNet
from clrl.agents.sac import ContinualSAC
from clrl.envs.streams import ToyStream
from tests.agents.tiny import sac, same_bits, weights

OBS = np.random.default_rng(0).normal(size=(2, 9, 3)).astype(np.float32)


def agent_of(n_tasks: int = 3, **settings: Any) -> ContinualSAC:
    return sac(method=PackNet(retrain_steps=5), seeds=(0, 1), n_tasks=n_tasks, **settings)


def owners(learner: Any) -> dict[str, Tensor]:
    return {
        name[len("owner.") :]: tensor.clone()
        for name, tensor in learner.method.state.items()
        if name.startswith("owner.")
    }


def pruned_only(n_tasks: int, **settings: Any) -> Classifier:
    """Return a learner whose method prunes and does not retrain."""
    stream = ToyStream(n_tasks=n_tasks, dim=8, examples=4)
    return Classifier(stream, PackNet(retrain_steps=0), seeds=(0, 1), **settings)


def set_owned(learner: Classifier, task: int, rng: np.random.Generator) -> None:
    """Give every weight of a task a random value, as training would."""
    for name, owner in owners(learner).items():
        kernel = learner.protected_parameters()[name]
        draw = torch.from_numpy(rng.normal(size=tuple(kernel.shape))).float()
        kernel.data.copy_(torch.where(owner == task, draw, kernel.detach()))


def test_twenty_tasks_share_a_kernel_as_published() -> None:
    learner = pruned_only(20, hidden_sizes=(256, 256))
    rng = np.random.default_rng(0)
    for task in range(20):
        set_owned(learner, task, rng)
        learner.method.on_task_start(task)
        learner.method.on_task_end(task)
    owner = owners(learner)["core.layers.1.weight"]
    assert owner.shape == (2, 256, 256)
    expected, left = [], 65_536
    for task in range(19):
        expected.append(left - left * (19 - task) // (20 - task) - 1)
        left -= expected[-1]
    expected.append(left)
    assert expected[:6] == [3276] * 5 + [3277] and expected[-1] == 3278 and sum(expected) == 65_536
    for s in range(2):
        assert owner[s].flatten().bincount(minlength=20).tolist() == expected


@pytest.mark.parametrize("n_tasks", [2, 3, 5])
def test_every_task_gets_its_share_within_two(n_tasks: int) -> None:
    learner = pruned_only(n_tasks, hidden_sizes=(7, 9))
    for task in range(n_tasks):
        set_owned(learner, task, np.random.default_rng(task))
        learner.method.on_task_end(task)
    for owner in owners(learner).values():
        for s in range(2):
            counts = owner[s].flatten().bincount(minlength=n_tasks)
            share = owner[s].numel() / n_tasks
            assert len(counts) == n_tasks and int(counts.sum()) == owner[s].numel()
            assert all(abs(int(c) - share) <= 2 + n_tasks / 2 for c in counts)
            assert all(abs(int(c) - share) <= 2 for c in counts[:-1])


def test_the_worked_example_keeps_one_weight_of_eight() -> None:
    learner = pruned_only(4, hidden_sizes=(1,))
    w = torch.tensor([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8])
    kernel = learner.protected_parameters()["core.layers.0.weight"]
    kernel.data.copy_(w.expand(2, 1, 8))
    learner.method.on_task_end(0)
    expected = torch.tensor([0.0] * 7 + [-0.8]).expand(2, 1, 8)
    assert torch.equal(kernel.detach(), expected)
    owner = owners(learner)["core.layers.0.weight"]
    assert owner[0].tolist() == owner[1].tolist() == [[1, 1, 1, 1, 1, 1, 1, 0]]


def test_an_old_task_acts_bit_for_bit_as_after_its_retraining() -> None:
    agent = agent_of(4)
    noise = np.zeros((2, 9, 2), np.float32)
    remembered: dict[int, np.ndarray] = {}
    for task in range(4):
        agent.learn(60)
        agent.end_task()
        remembered[task] = agent.act_on_features(OBS, task, noise)
        if task < 3:  # freed weights are zero now, so the view of this task changes nothing
            with agent.evaluating(task):
                assert np.array_equal(remembered[task], agent.act_on_features(OBS, task, noise))
        for old, actions in remembered.items():
            with agent.evaluating(old):
                assert np.array_equal(actions, agent.act_on_features(OBS, old, noise))
    assert not np.array_equal(remembered[0], agent.act_on_features(OBS, 0, noise))


class Reads(TorchDispatchMode):
    """Counts numbers that are read off a tensor: on a GPU each waits for all that was launched."""

    n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("task", [0, 1])
def test_an_update_reads_nothing_off_a_tensor(task: int) -> None:
    agent = agent_of()
    agent.learn(60 * task + 30)
    batch = agent.sample(None, randomness.REPLAY)
    assert agent.task == task and agent.n_updates % MEASURE_EVERY
    with Reads() as reads:
        agent.update(batch)
    assert reads.n == 0
    with Reads() as reads:  # the counter counts
        bool(agent.method.state["biases_frozen"].any())
    assert reads.n == 1


def test_masks_are_made_at_a_task_s_start_and_after_pruning_not_in_an_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = agent_of()
    made: list[bool] = []
    method: Any = agent.method
    make = PackNet._make_masks

    def counted(self: PackNet) -> dict[str, Tensor]:
        made.append(True)
        return make(self)

    monkeypatch.setattr(PackNet, "_make_masks", counted)
    agent.learn(59)
    assert len(made) == 1 and method._masks == {}  # the first task owns everything
    agent.learn(2)
    assert len(made) == 3 and method._masks.keys() == agent.protected_parameters().keys()
    agent.learn(40)
    assert len(made) == 3


def test_a_loaded_method_masks_what_the_stored_one_did() -> None:
    agent, other = agent_of(), agent_of()
    agent.learn(90)
    other.load_state_dict(agent.state_dict())
    stored, loaded = (cast(PackNet, a.method)._masks for a in (agent, other))
    assert loaded.keys() == stored.keys() == agent.protected_parameters().keys()
    assert all(torch.equal(loaded[name], mask) for name, mask in stored.items())


def test_only_the_current_tasks_weights_change() -> None:
    agent = agent_of()
    for task in range(3):
        agent.learn(20)
        before, owner = weights(agent), owners(agent)
        agent.learn(40)
        after = weights(agent)
        for name, mask in owner.items():
            old, new = before[f"actor.{name}"], after[f"actor.{name}"]
            assert torch.equal(old[mask != task], new[mask != task])
            assert bool((old[mask == task] != new[mask == task]).float().mean() > 0.9)
        for name, old in before.items():
            if name.startswith("actor.core.") and name[len("actor.") :] not in owner:
                assert same_bits(old, after[name]) == (task > 0), name
            if name.startswith("critic."):
                assert not same_bits(old, after[name]), name
        assert not same_bits(before["actor.head.weight"], after["actor.head.weight"])
        agent.end_task()


def test_while_retraining_freed_weights_are_zero_and_kept_ones_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = agent_of()
    seen = []

    def checked(batch: Any) -> dict[str, Tensor]:
        before = weights(agent)
        losses = ContinualSAC.update(agent, batch)
        after = weights(agent)
        for name, owner in owners(agent).items():
            kernel = after[f"actor.{name}"]
            assert bool((kernel[owner > agent.task] == 0).all())
            old = owner < agent.task
            assert torch.equal(kernel[old], before[f"actor.{name}"][old])
        for name in ("core.layers.0.bias", "core.norm.weight", "core.norm.bias"):
            assert same_bits(before[f"actor.{name}"], after[f"actor.{name}"])
        seen.append(
            not same_bits(before["actor.core.layers.1.weight"], after["actor.core.layers.1.weight"])
        )
        return losses

    for task in range(2):
        agent.learn(60)
        agent.task = task
        monkeypatch.setattr(agent, "update", checked)
        agent.end_task()
        monkeypatch.undo()
    assert seen == [True] * 10


def test_freed_weights_start_the_next_task_at_zero_and_are_used() -> None:
    agent = agent_of(2).learn(60)
    agent.end_task()
    owner = owners(agent)["core.layers.1.weight"]
    assert bool((weights(agent)["actor.core.layers.1.weight"][owner == 1] == 0).all())
    agent.learn(60)
    freed = weights(agent)["actor.core.layers.1.weight"][owner == 1]
    assert float((freed != 0).float().mean()) > 0.9


def test_optimizers_are_reset_twice_per_pruned_task_and_once_per_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = agent_of(3)
    steps: list[int] = []
    reset = agent.reset_optimizers

    def counted() -> None:
        steps.append(agent.optimizers["actor"].step_count)
        reset()

    monkeypatch.setattr(agent, "reset_optimizers", counted)
    agent.learn(180)
    agent.end_task()
    assert steps == [50, 5, 0, 50, 5, 0]


def test_the_last_task_keeps_everything() -> None:
    agent = agent_of(2).learn(120)
    before, owner, updates = weights(agent), owners(agent), agent.streams.state()
    agent.end_task()
    assert all(same_bits(w, before[name]) for name, w in weights(agent).items())
    assert all(torch.equal(mask, owner[name]) for name, mask in owners(agent).items())
    assert agent.streams.state() == updates
    assert all(set(mask.unique().tolist()) == {0, 1} for mask in owner.values())


def test_a_view_hides_later_weights_and_puts_them_back() -> None:
    agent = agent_of(2).learn(120)
    before, owner = weights(agent), owners(agent)
    with agent.evaluating(0):
        for name, mask in owner.items():
            kernel = weights(agent)[f"actor.{name}"]
            assert bool((kernel[mask == 1] == 0).all())
            assert torch.equal(kernel[mask == 0], before[f"actor.{name}"][mask == 0])
    assert all(same_bits(w, before[name]) for name, w in weights(agent).items())
    with agent.evaluating(1):
        assert all(same_bits(w, before[name]) for name, w in weights(agent).items())


@pytest.mark.parametrize("multi_head", [True, False])
def test_heads_are_managed_only_where_there_is_one(multi_head: bool) -> None:
    agent = agent_of(2, multi_head=multi_head)
    kernels = {"core.layers.0.weight", "core.layers.1.weight"}
    assert set(owners(agent)) == (kernels if multi_head else kernels | {"head.weight"})


def test_the_clip_is_part_of_the_published_setting() -> None:
    agent = agent_of()
    assert agent.max_grad_norm == 2e-5 and agent.settings.adam_eps == 1e-7
    agent.learn(40)
    agent.update(agent.sample(None, randomness.REPLAY))
    for optimizer in agent.optimizers.values():
        flat = optimizer.parameters
        for s in range(2):
            squares = [v[s].square().sum() for v in flat.views(optimizer.grad).values()]
            assert float(torch.stack(squares).sum().sqrt()) <= 2e-5 * (1 + 1e-5)


def test_the_free_share_is_reported() -> None:
    agent = agent_of(4).learn(60)
    assert agent.losses_log()["method/free"] == [1.0, 1.0]
    agent.end_task()
    agent.start_task(1)
    assert agent.losses_log()["method/free"] == pytest.approx([0.75, 0.75], abs=0.02)
