"""The policies: how often, how long, and what the caller sees."""

import pytest

from populator.errors import Cancelled
from populator.retry import CONTACT, READ, WRITE, Policy
from tests.lab.arrays import QuickClock


class Flaky:
    """A call that fails so many times, each try taking so many seconds."""

    def __init__(self, clock: QuickClock, failures: int, seconds: float = 0) -> None:
        self.clock, self.failures, self.seconds, self.tries = clock, failures, seconds, 0

    def __call__(self) -> int:
        self.tries += 1
        self.clock.waited += self.seconds
        if self.tries <= self.failures:
            raise ConnectionError(f"failure {self.tries}")
        return self.tries


def connection(error: BaseException) -> bool:
    return isinstance(error, ConnectionError)


@pytest.mark.parametrize("policy", [CONTACT, READ, WRITE])
def test_a_passing_error_is_repeated(policy: Policy) -> None:
    clock = QuickClock()
    assert policy.run(Flaky(clock, 3), connection, clock) == 4


def test_any_other_error_is_not() -> None:
    clock = QuickClock()
    call = Flaky(clock, 3)
    with pytest.raises(ConnectionError, match="failure 1"):
        READ.run(call, lambda error: False, clock)
    assert clock.waited == 0


def test_the_last_error_is_the_one_seen_and_the_deadline_holds() -> None:
    clock = QuickClock()
    call = Flaky(clock, 1000)
    with pytest.raises(ConnectionError) as caught:
        READ.run(call, connection, clock)
    assert str(caught.value) == f"failure {call.tries}"
    assert 5 < call.tries < 20
    assert clock.waited <= READ.deadline


def test_a_first_try_that_took_all_the_time_is_repeated_once() -> None:
    clock = QuickClock()
    assert READ.run(Flaky(clock, 1, READ.deadline + 1), connection, clock) == 2
    call = Flaky(clock, 2, READ.deadline + 1)
    with pytest.raises(ConnectionError, match="failure 2"):
        READ.run(call, connection, clock)


def test_told_to_stop_nothing_is_repeated() -> None:
    clock = QuickClock()
    call = Flaky(clock, 1)
    clock.stop()
    with pytest.raises(Cancelled):
        READ.run(call, connection, clock)
    assert call.tries == 1


def test_within_a_grace_it_goes_on_to_its_end_though_told_to_stop() -> None:
    clock = QuickClock()
    clock.stop()
    with clock.grace(5):
        assert READ.run(Flaky(clock, 2), connection, clock) == 3
        with pytest.raises(ConnectionError):
            READ.run(Flaky(clock, 1000), connection, clock)
    assert clock.waited < 10
