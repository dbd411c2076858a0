"""Which environments evaluations share, and how many are kept."""

from __future__ import annotations

from functools import partial

import pytest

from clrl.config import evaluation
from clrl.config.evaluation import Evaluation
from clrl.envs.sequence import TaskSequence
from clrl.run import simulators
from clrl.run.evaluator import evaluate
from clrl.run.simulators import Simulators
from tests.clrl.scripted import Line, Scripted, lines, simulators_of, up


def test_tasks_of_equal_makers_share_simulators_and_the_number_kept_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Line.alive
    maker, other = partial(Line, 5), partial(Line, 4)
    sequence = TaskSequence([maker, other, partial(Line, 5)], 100, ("a", "b", "c"))
    own = Line.alive - before
    for kept, alive in ((80, 8), (6, 4), (3, 3)):
        for module in (evaluation, simulators):
            monkeypatch.setattr(module, "KEPT", kept)
        worlds = simulators_of(sequence)
        rows = evaluate(Scripted(up), worlds, [0, 1, 2], 10, Evaluation(1, 4, 0))
        assert [row["episodes"] for row in rows] == [4, 4, 4]
        assert Line.alive - before - own == alive
        worlds.close()


def test_seeds_play_side_by_side_in_environments_of_their_own_that_are_lent_again() -> None:
    worlds = Simulators([lines(), lines()])
    envs = worlds.lend(0, [0, 1, 0])
    assert len(set(map(id, envs))) == 3
    assert worlds.lend(0, [1, 0]) == envs[:2]  # equal worlds: whose seed it is does not matter
    worlds.close()


def test_a_seed_is_lent_only_its_own_world() -> None:
    worlds = Simulators([TaskSequence([partial(Line, horizon)], 10) for horizon in (3, 7)])
    horizons = [env.get_wrapper_attr("horizon") for env in worlds.lend(0, [0, 1, 1])]
    assert horizons == [3, 7, 7]
    worlds.close()
