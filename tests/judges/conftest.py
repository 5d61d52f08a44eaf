"""What all judges look at."""

from typing import Any

import pytest


@pytest.fixture
def sim(lab: Any) -> Any:
    """The simulator behind a vendor's array."""
    return lab.simulator
