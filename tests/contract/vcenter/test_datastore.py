"""Files of a datastore through vCenter (stock vcsim): replaced as a whole or not at all, whatever fails on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from populator.clock import Clock
from populator.reach import repeat
from tests.lab.faults import Call
from tests.lab.lab import VCENTER_PASSWORD, VCENTER_USER, Lab
from tests.lab.lies import LIES
from tests.lab.world import OTHER_HOST, PLAIN_HOST
from vsphere.errors import VsphereError
from vsphere.vcenter.datastore import Datastore, name_beside
from vsphere.vcenter.placement import Placement, find_placement
from vsphere.vcenter.session import Session

FILE = "a script"
WRITER = "pod-1_0a1b2c3d"
OLD, NEW = b"old\n" * 5000, b"new\n" * 5000


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def session(running: Lab) -> Iterator[Session]:
    clock = Clock()
    running.ledger.reset()
    with Session(
        "127.0.0.1", running.vcenter_port, VCENTER_USER, VCENTER_PASSWORD,
        clock=clock, retry=repeat(clock), ca_pem=running.pki.ca_pem,
    ) as session:  # fmt: skip
        yield session
        running.ledger.reset()


@pytest.fixture
def file(running: Lab) -> Iterator[Path]:
    path = running.datastores / "ds one" / FILE
    yield path
    for each in path.parent.glob(f"{FILE}*"):
        each.rmdir() if each.is_dir() else each.unlink()


@pytest.fixture
def datastore(running: Lab, session: Session) -> Datastore:
    place = find_placement(session, running.host.moid, PLAIN_HOST)
    running.ledger.reset()
    return Datastore(session, "ds one", place.datacenter, place.datacenter_path, Clock())


def test_a_host_is_placed(running: Lab, session: Session) -> None:
    found = [find_placement(session, running.vcenter.hosts[name], name) for name in (PLAIN_HOST, OTHER_HOST)]
    assert [place.address for place in found] == ["127.0.1.1", "127.0.1.2"]
    assert found[0] == Placement("127.0.1.1", "datacenter-1", "DC0")


def test_a_file_that_is_not_there_is_none(datastore: Datastore) -> None:
    assert datastore.read(FILE) is None


def test_who_has_the_old_file_open_keeps_it(datastore: Datastore, file: Path) -> None:
    datastore.replace(FILE, OLD, WRITER)
    assert file.read_bytes() == OLD
    with file.open("rb") as reader:
        half = reader.read(len(OLD) // 2)
        datastore.replace(FILE, NEW, WRITER)
        assert half + reader.read() == OLD
    assert datastore.read(FILE) == NEW
    assert [each.name for each in file.parent.glob(f"{FILE}*")] == [FILE]


def test_an_expired_session_is_no_obstacle(running: Lab, datastore: Datastore) -> None:
    running.vcenter.expire_sessions()
    assert datastore.read(FILE) is None


STEPS = ("PUT /folder", "GET /folder", "MoveDatastoreFile_Task", "RetrievePropertiesEx")


@pytest.mark.parametrize("fault", ["before", "after", "reset", "5xx"])
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_for_a_moment_is_survived(
    running: Lab, datastore: Datastore, file: Path, step: str, fault: str
) -> None:
    file.write_bytes(OLD)
    failed: list[Call] = []

    def once(call: Call) -> str | None:
        if failed or not call.label.startswith(step):
            return None
        failed.append(call)
        return fault

    running.ledger.reset(once)
    datastore.replace(FILE, NEW, WRITER)
    assert failed
    assert file.read_bytes() == NEW
    assert [each.name for each in file.parent.glob(f"{FILE}*")] == [FILE]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_answer_leaves_a_whole_file_and_nothing_else(
    running: Lab, datastore: Datastore, file: Path, step: str, lie: str
) -> None:
    file.write_bytes(OLD)
    told: list[Call] = []

    def once(call: Call) -> str | None:
        if told or not call.label.startswith(step):
            return None
        told.append(call)
        return lie

    running.ledger.reset(once)
    replaced = True
    try:
        datastore.replace(FILE, NEW, WRITER)
    except VsphereError:
        replaced = False
    assert told
    assert file.read_bytes() in ([NEW] if replaced else [OLD, NEW])
    assert [each.name for each in file.parent.glob(f"{FILE}*")] == [FILE]


def test_a_refusal_leaves_the_old_file_and_nothing_else(datastore: Datastore, file: Path) -> None:
    file.mkdir()  # which the file manager does not move a file over
    with pytest.raises(VsphereError, match="could not be replaced") as caught:
        datastore.replace(FILE, NEW, WRITER)
    assert "Datastore.FileManagement" in caught.value.hint
    assert [each.name for each in file.parent.glob(f"{FILE}*")] == [FILE]


@pytest.mark.parametrize("fault", [None, "before", "after", "5xx"])
def test_what_a_dead_writer_has_not_put_in_place_is_discarded(
    running: Lab, datastore: Datastore, file: Path, fault: str | None
) -> None:
    datastore.replace(FILE, OLD, "another writer")
    half = file.with_name(name_beside(FILE, WRITER))
    half.write_bytes(NEW[:100])
    failed: list[Call] = []

    def once(call: Call) -> str | None:
        if failed or not call.label.startswith("DeleteDatastoreFile_Task"):
            return None
        failed.append(call)
        return fault

    running.ledger.reset(once)
    assert not datastore.unfinished(FILE, "another writer")
    assert datastore.unfinished(FILE, WRITER)
    assert datastore.discard(FILE, WRITER)
    assert failed
    assert not datastore.discard(FILE, WRITER)
    assert [each.name for each in file.parent.glob(f"{FILE}*")] == [FILE]
    assert file.read_bytes() == OLD


@pytest.mark.parametrize("status", ["401", "403"])
def test_who_may_read_nothing_has_left_nothing(running: Lab, datastore: Datastore, status: str) -> None:
    running.ledger.reset(lambda call: status if call.label.startswith("GET /folder") else None)
    assert not datastore.unfinished(FILE, WRITER)
    assert not datastore.discard(FILE, WRITER)
