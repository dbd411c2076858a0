"""A signal is a flag in the loop, an exception where work is done again, and nothing twice."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from clrl.machine.signals import STOPPING, Interrupted, Signals, end_like_ctrl_c


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_outside_raising_only_sets_the_flag(number: signal.Signals) -> None:
    with Signals() as signals:
        os.kill(os.getpid(), number)
        assert signals.requested == number.name
        with pytest.raises(Interrupted, match=number.name):
            signals.check()


def test_a_signal_that_came_before_leaves_raising_at_once() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), signals.raising():
            pytest.fail("the block began")


def test_a_signal_inside_raising_leaves_it_and_a_second_one_disturbs_nothing() -> None:
    with Signals() as signals:
        with pytest.raises(Interrupted, match="SIGUSR1"), signals.raising():
            try:
                os.kill(os.getpid(), signal.SIGUSR1)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)  # while the first one is on its way out
                cleaned = True
        assert cleaned and signals.requested == "SIGTERM"


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = {number: signal.getsignal(number) for number in STOPPING}
    with pytest.raises(ValueError), Signals():
        assert signal.getsignal(signal.SIGINT) not in before.values()
        raise ValueError
    assert {number: signal.getsignal(number) for number in STOPPING} == before


def test_outside_the_main_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with Signals() as signals, signals.raising():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_command_that_is_starting_up_ends_on_every_signal_as_on_ctrl_c() -> None:
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        end_like_ctrl_c()
        for number in STOPPING:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
