"""The clock: waits end at a stop, remote calls are broken off, a grace goes on and ends."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from populator.clock import Clock
from populator.errors import Cancelled


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that this process's SIGUSR1 stops, as SIGTERM stops the program's."""
    clock = Clock()
    before = signal.signal(signal.SIGUSR1, lambda *_: clock.stop())
    yield clock
    signal.signal(signal.SIGUSR1, before)


def stop_soon(seconds: float = 0.1) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    return timer


def test_a_wait_ends_at_once_when_told_to_stop(clock: Clock) -> None:
    stop_soon()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        clock.wait(30)
    assert time.monotonic() - began < 10


def test_a_blocked_remote_call_is_broken_off(clock: Clock) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stop_soon()
        with pytest.raises(Cancelled), clock.blocking():
            ours.recv(1)


def test_code_outside_calls_and_waits_is_never_interrupted(clock: Clock) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    assert clock.stopping()
    with pytest.raises(Cancelled):
        clock.wait(0)


def test_in_a_grace_calls_go_on_and_a_wait_returns_early(clock: Clock) -> None:
    with clock.grace(after_stop=20):
        stop_soon()
        began = time.monotonic()
        clock.wait(30)
        assert time.monotonic() - began < 10
        with clock.blocking():
            pass
        assert not clock.expired()
        assert 0 < clock.left() <= 20


def test_a_grace_ends_and_leaves_short_time_outs(clock: Clock) -> None:
    clock.stop()
    with clock.grace(after_stop=0):
        assert clock.expired()
        assert clock.limit(30) == pytest.approx(0.5)
        clock.wait(30)


def test_nested_graces_the_tightest_counts(clock: Clock) -> None:
    with clock.grace(after_stop=100, within=50), clock.grace(after_stop=100, within=5):
        assert clock.limit(30) <= 5
    assert clock.limit(30) == 30
