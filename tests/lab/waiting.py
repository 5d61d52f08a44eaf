"""Waiting in a test for what another thread or process does; fails when it does not come."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
PAUSE = 0.01
"""seconds between two looks, which leave the processor to who is waited for"""


def wait_until(happens: Callable[[], Result], within: float = 60.0) -> Result:
    """Return what is looked for as soon as it is true; raise AssertionError after so many seconds."""
    deadline = time.monotonic() + within
    while not (result := happens()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(PAUSE)
    return result
