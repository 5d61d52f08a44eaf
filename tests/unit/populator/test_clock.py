"""The clock: waits end at a stop, remote calls are broken off, a grace goes on and ends."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from populator.clock import SHORTEST_CALL, Clock, Late
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


@pytest.fixture
def cutting(clock: Clock) -> Iterator[Clock]:
    """The clock with an alarm, as the program gives it one."""
    before = signal.signal(signal.SIGALRM, lambda *_: clock.cut())
    clock.alarm = lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, 0.1 if seconds else 0.0)
    yield clock
    clock.alarm(0.0)
    signal.signal(signal.SIGALRM, before)


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(Late):
        call()
    return time.monotonic() - began


def silent(clock: Clock) -> None:
    """Read from somebody who never says a word, without a timeout."""
    ours, theirs = socket.socketpair()
    with ours, theirs, clock.blocking():
        ours.recv(1)


# pytest's own timeout uses the same alarm, unless it is told to use a thread.
@pytest.mark.timeout(60, method="thread")
def test_a_call_under_way_is_cut_at_the_end_of_its_grace_counted_from_the_stop(cutting: Clock) -> None:
    with cutting.grace(after_stop=0.5):
        stop_soon(0.3)
        assert 0.8 <= seconds_of(lambda: silent(cutting)) < 10


@pytest.mark.timeout(60, method="thread")
def test_a_call_that_begins_late_in_a_grace_is_cut_too_and_never_at_once(cutting: Clock) -> None:
    with cutting.grace(after_stop=30, within=0.2):
        assert SHORTEST_CALL <= seconds_of(lambda: silent(cutting)) < 10
        assert SHORTEST_CALL <= seconds_of(lambda: silent(cutting)) < 10


@pytest.mark.timeout(60, method="thread")
def test_a_cut_that_a_library_swallows_is_made_again(cutting: Clock) -> None:
    def stubborn() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, cutting.blocking():
            with suppress(OSError):
                ours.recv(1)
            ours.recv(1)

    with cutting.grace(after_stop=30, within=0.2):
        assert seconds_of(stubborn) < 10


@pytest.mark.timeout(60, method="thread")
def test_a_trickle_is_cut_as_well(cutting: Clock) -> None:
    ours, theirs = socket.socketpair()
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.05):
            theirs.send(b"x")

    def read() -> None:
        with cutting.blocking():
            while True:
                ours.recv(1)

    with ours, theirs, cutting.grace(after_stop=30, within=0.5):
        thread = threading.Thread(target=trickle)
        thread.start()
        assert seconds_of(read) < 10
        ended.set()
        thread.join()


@pytest.mark.timeout(60, method="thread")
@pytest.mark.parametrize("what", ["wait", "call"])
def test_a_signal_that_another_thread_receives_is_heard(cutting: Clock, what: str) -> None:
    """As after one that comes between Python's look for signals and the system call: nothing wakes the main thread."""

    def receive() -> None:
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        time.sleep(0.1)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        thread = threading.Thread(target=receive)
        thread.start()
        began = time.monotonic()
        with pytest.raises(Cancelled):
            if what == "wait":
                cutting.wait(20)
            else:
                with cutting.blocking():
                    ours.recv(1)
        assert time.monotonic() - began < 10
        thread.join()


@pytest.mark.timeout(60, method="thread")
def test_nothing_outside_of_a_call_is_cut(cutting: Clock) -> None:
    with cutting.grace(after_stop=30, within=0.1):
        with cutting.blocking():
            pass
        began = time.monotonic()
        cutting.wait(5)
        while time.monotonic() - began < 1.5:
            pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.timeout(60, method="thread")
def test_an_inner_call_leaves_the_outer_its_own_end(cutting: Clock) -> None:
    def outer() -> None:
        with cutting.blocking():
            with cutting.grace(30, within=20), cutting.blocking():
                pass
            threading.Event().wait()

    with cutting.grace(30, within=0.5):
        assert seconds_of(outer) < 10


def test_what_should_be_finished_is_not_broken_off(clock: Clock) -> None:
    with clock.finishing(after_stop=20):
        os.kill(os.getpid(), signal.SIGUSR1)
        with clock.blocking():
            pass
        assert clock.limit(30) <= 20
    with pytest.raises(Cancelled), clock.blocking():
        pass


def test_what_should_be_finished_is_not_begun_when_told_to_stop_before(clock: Clock) -> None:
    clock.stop()
    with pytest.raises(Cancelled), clock.finishing():
        pytest.fail("begun")
    with clock.grace(10), clock.finishing():
        pass


def test_in_a_grace_that_one_says_how_long_what_should_be_finished_may_take(clock: Clock) -> None:
    """A write of the undo has the time that the undo has, and not the shorter one of what was under way at the stop."""
    clock.stop()
    with clock.grace(22), clock.finishing(after_stop=8):
        assert 21 < clock.limit(30) <= 22


def test_what_failed_to_be_finished_ends_by_the_stop(clock: Clock) -> None:
    with pytest.raises(Cancelled), clock.finishing():
        clock.stop()
        raise ValueError
    with pytest.raises(ValueError, match="x"), clock.grace(10), clock.finishing():
        raise ValueError("x")


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


def test_a_look_at_the_wish_to_stop_raises_outside_of_a_grace_only() -> None:
    clock = Clock()
    clock.check()
    clock.stop()
    with clock.grace(10):
        clock.check()
    with pytest.raises(Cancelled):
        clock.check()
