"""What every driver makes of an array, a network and a user that fail it: each call of a whole run is broken once.

Whatever happens, the LUN is the right one, nothing is left on the array but what nobody could take away, and no
session stays open where the log-out could be made.
"""

from itertools import pairwise

import pytest

from populator.errors import StorageError
from populator.storage.array import StorageArray, Volume
from populator.storage.registry import VENDORS
from tests.contract.storage.conftest import Front, Way
from tests.contract.storage.hosts import FC, HOST, IQN, Ports, ensure, seen, unmap
from tests.lab.arrays import ArrayLab, connect
from tests.lab.faults import Call, Rule, nth
from tests.lab.lies import LIES

ONE_WAY_EACH = [
    pytest.param((vendor, max(VENDORS[vendor].initiators)), id=vendor) for vendor in sorted(VENDORS)
]
HEALED = ("before", "after", "reset", "half", "5xx", "429 1", "503 1", "hang")
"""see `tests.lab.faults`: what the next try does not meet"""
MOST_CALLS = {"powermax": 21}
"""of a host's second disk, where it is not 8: PowerMax lists no mappings, and a mapping there is three objects"""
PATIENCE = {"hang": 0.5}
"""seconds for which the driver waits for an answer, by fault: what hangs is soon over"""


@pytest.fixture(params=ONE_WAY_EACH)
def way(request: pytest.FixtureRequest) -> Way:
    """Each vendor by one kind of initiators: the calls are the same ones."""
    chosen: Way = request.param
    return chosen


def read(array: StorageArray, volume: Volume, ports: Ports, device: str) -> None:
    """Do what a run does before it changes anything."""
    array.info()
    lun = array.find_lun(volume)
    assert lun.device == device
    array.mappings_of(lun)
    array.plan_group(HOST, ports.own)


def run(front: Front, array: StorageArray, volume: Volume, ports: Ports) -> None:
    """Do what a whole run does, with its undo, which comes also after an error."""
    device = front.lab.device(volume)
    read(array, volume, ports, device)
    lun = array.find_lun(volume)
    before = array.mappings_of(lun)
    try:
        mapping = array.map(lun, ensure(array, *ports.own))
        assert seen(front.lab, ports.first) == {device: mapping.lun_id}
        array.mappings_of(lun)
    finally:
        unmap(front.lab, array, lun, before)


def count(front: Front, volume: Volume, ports: Ports) -> int:
    """Return how many calls a run makes that nothing breaks."""
    front.ledger.reset()
    array = front.connect()
    run(front, array, volume, ports)
    array.close()
    return front.calls()


@pytest.mark.parametrize("fault", HEALED)
def test_a_fault_that_passes_is_survived_at_every_call(front: Front, ports: Ports, fault: str) -> None:
    volume = front.lab.add_volume()
    state = front.lab.state()
    for number in range(1, count(front, volume, ports) + 1):
        front.ledger.reset(nth(number, fault))
        array = front.connect(PATIENCE.get(fault, 30.0))
        run(front, array, volume, ports)
        made = front.calls()
        array.close()
        assert front.lab.state() == state, f"call {number}"
        if made >= number:  # else it was the log-out
            forgotten = {"after", "reset", "half", "hang"} & {fault}  # a log-in whose answer was lost
            assert forgotten or not front.lab.sessions, f"call {number}"
        front.lab.expire_sessions()


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_is_never_believed_to_the_end(front: Front, ports: Ports, kind: str) -> None:
    """It may end the run with an error, but leads to no wrong LUN, and the next run can take away what was left."""
    volume = front.lab.add_volume()
    state = front.lab.state()
    for number in range(1, count(front, volume, ports) + 1):
        front.ledger.reset(nth(number, kind))
        array = front.connect()
        try:
            run(front, array, volume, ports)
        except StorageError:
            array.close()
            array = front.connect()
            unmap(front.lab, array, array.find_lun(volume))
        array.close()
        assert front.lab.state() == state, f"call {number}"
        front.lab.expire_sessions()


def test_a_session_that_expires_is_renewed_at_every_call(front: Front, ports: Ports) -> None:
    volume = front.lab.add_volume()
    state = front.lab.state()

    def expire_at(number: int) -> Rule:
        return lambda call: front.lab.expire_sessions() if call.number == number else None

    for number in range(1, count(front, volume, ports) + 1):
        front.ledger.reset(expire_at(number))
        array = front.connect()
        run(front, array, volume, ports)
        array.close()
        assert front.lab.state() == state, f"call {number}"
        assert front.lab.sessions == 0, f"call {number}"


def test_no_session_stays_open(front: Front, ports: Ports) -> None:
    volume = front.lab.add_volume()
    array = front.connect()
    read(array, volume, ports, front.lab.device(volume))
    array.close()
    assert front.lab.sessions == 0
    array.close()  # may be repeated
    front.connect().close()  # and was never used
    assert front.lab.sessions == 0


def test_who_may_only_read_is_told_which_user_needs_a_role(front: Front, ports: Ports) -> None:
    volume = front.lab.add_volume()
    state = front.lab.state()
    reader = front.lab.reader
    array = front.connect(username=reader.username, password=reader.password, token=reader.token)
    read(array, volume, ports, front.lab.device(volume))
    with pytest.raises(StorageError) as caught:
        run(front, array, volume, ports)
    assert "role" in caught.value.hint
    assert "STORAGE_" in caught.value.hint
    assert front.lab.state() == state
    array.close()
    assert front.lab.sessions == 0


def test_one_volume_of_five_thousand_is_asked_for_alone(front: Front, ports: Ports) -> None:
    """As many calls as among one, however the array cuts its lists into pages."""
    volume = front.lab.add_volume()
    alone = count(front, volume, ports)
    volumes = [front.lab.add_volume(512) for _ in range(5000)]
    for sought in (volumes[0], volumes[2500], volumes[-1]):
        assert count(front, sought, ports) == alone


def test_the_second_disk_of_a_host_takes_eight_calls(front: Front, ports: Ports) -> None:
    """Beside log-ins, log-outs (an array with few sessions may be left alone meanwhile) and what is asked of itself."""
    first, second = front.lab.add_volume(), front.lab.add_volume()
    other = front.connect()
    other.map(other.find_lun(first), ensure(other, *ports.own))
    array = front.connect()
    array.info()
    sessions: list[int] = []
    """open before each call"""

    def look(_: Call) -> None:
        sessions.append(front.lab.sessions)

    front.ledger.reset(look)
    lun = array.find_lun(second)
    array.mappings_of(lun)
    array.map(lun, ensure(array, *ports.own))
    for _ in range(2):
        array.mappings_of(lun)
    unmap(front.lab, array, lun)
    labels = [call.label for call in front.ledger.calls]
    changed = sum(before != after for before, after in pairwise([*sessions, front.lab.sessions]))
    assert len(labels) - changed <= MOST_CALLS.get(front.lab.vendor, 8), labels


def test_what_a_dead_predecessor_mapped_by_the_other_kind_is_removed(scsi_lab: ArrayLab) -> None:
    volume = scsi_lab.add_volume()
    state = scsi_lab.state()
    dead = connect(scsi_lab)
    dead.map(dead.find_lun(volume), ensure(dead, IQN))
    array = connect(scsi_lab)
    lun = array.find_lun(volume)
    array.map(lun, ensure(array, FC))
    for _ in range(2):
        unmap(scsi_lab, array, lun)
        assert scsi_lab.state() == state
