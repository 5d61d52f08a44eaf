"""Labs for all tests: one for each kind of Kubernetes API and each wrapper, put in order before each test.

Tests run with our wrapper under busybox; `@pytest.mark.wrappers(…)` names others, or several, and
`@pytest.mark.any_kube` leaves the real Kubernetes API out, where its kind makes no difference.
"""

from collections.abc import Iterator

import pytest

from tests.lab.esxi import OURS
from tests.lab.lab import Lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the labs that a test runs in; the real Kubernetes API where our wrapper runs under busybox."""
    if "running_lab" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("wrappers")
    wrappers = mark.args if mark else (OURS,)
    labs = [("simulated", wrapper) for wrapper in wrappers]
    if OURS in wrappers and not metafunc.definition.get_closest_marker("any_kube"):
        labs.append(("real", OURS))
    names = [kube if wrapper == OURS else f"{kube}-{wrapper}" for kube, wrapper in labs]
    metafunc.parametrize("running_lab", labs, ids=names, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def running_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab; see above for which."""
    kube, wrapper = request.param
    with Lab(kube, wrapper=wrapper) as lab:
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    """The running lab with nothing in it from the test before."""
    running_lab.tidy()
    yield running_lab
    running_lab.tidy()
