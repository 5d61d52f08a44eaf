"""Labs for all tests: one for each kind of Kubernetes API, started once and put in order before each test."""

from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab


@pytest.fixture(scope="session", params=["simulated", "real"])
def running_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab; tests that use it run once with each kind of Kubernetes API."""
    with Lab(request.param) as lab:
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    """The running lab with nothing in it from the test before."""
    running_lab.tidy()
    yield running_lab
    running_lab.tidy()
