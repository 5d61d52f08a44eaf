"""HPE's own cases of copies by the array: which volume a disk is, whose copy is under way, each state of a task and of
its target, each way of ending, and that nothing ever writes to the source.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from populator.errors import StorageError
from populator.storage.answer import Answer
from populator.storage.array import Lun, Volume
from populator.storage.copies import Backing, CannotCopy, Copy, CopyingArray, Progress, device_of
from populator.storage.failures import Refused
from populator.storage.vendors.hpe import names, tasks
from tests.contract.storage.conftest import Front
from tests.lab.arrays import connect
from tests.lab.arrays.hpe.copies import (
    COPY_FAILED,
    COPY_TARGET,
    PCOPY_IN_PROGRESS,
    SNAPSHOT,
    Copies,
    SimTask,
    tie,
)
from tests.lab.arrays.hpe.copying import CopyingSimulator
from tests.lab.arrays.hpe.lab import HpeLab
from tests.lab.arrays.hpe.system import SimVolume
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.disks import MIB, noise
from tests.lab.faults import Call, Rule
from tests.lab.san import LunFile
from vsphere.model import DiskKind

SIZE = 2 * MIB
LONG = 30.0
"""seconds of a copy that is not meant to end by itself"""
RDM = "naa.60002ac0000000000000182d00021f6b"
RDM_VML = "vml.020001000060002ac0000000000000186b00021f6b565620202020"
UUID = "0b1c2d3e-2222-4aaa-8bbb-00000000000a"
ESX = "20000025B5AA0001"


@pytest.fixture
def lab(rack: Rack) -> HpeLab:
    return rack.add(HpeLab)


@pytest.fixture
def copies(sim: CopyingSimulator) -> Copies:
    return sim.copies


@pytest.fixture
def array(lab: HpeLab) -> CopyingArray:
    return cast("CopyingArray", connect(lab))


class World:
    """A mapped device with noise on it, and an empty volume for that."""

    def __init__(self, lab: HpeLab, size: int = SIZE) -> None:
        self.lab = lab
        self.sim = lab.simulator
        self.file: LunFile = lab.san.lun(lab.add_source(RDM, SIZE))
        self.bytes = noise(11, 0, SIZE)
        self.file.path.write_bytes(self.bytes)
        self.pv: Volume = lab.add_volume(size)
        self.naa = lab.device(self.pv)
        self.target_file = lab.san.lun(self.naa)

    @property
    def source(self) -> SimVolume:
        return next(one for one in self.sim.volumes.values() if one.naa == RDM)

    @property
    def target(self) -> SimVolume:
        return next(one for one in self.sim.volumes.values() if one.naa == self.naa)

    @property
    def copied(self) -> bool:
        return self.target_file.read(0, SIZE) == self.bytes

    def check_untouched(self) -> None:
        """Raise where the source was written to, or changed in any other way."""
        assert self.file.bytes_written == 0
        assert self.file.read(0, SIZE) == self.bytes
        assert (self.source.copy_type, self.source.snap_cpg, self.source.states) == (1, "", set())


@pytest.fixture
def world(lab: HpeLab) -> World:
    return World(lab)


def luns(array: CopyingArray, world: World) -> tuple[Lun, Lun]:
    return array.find_source(Backing(DiskKind.RDM, RDM)), array.find_lun(world.pv)


def follow(array: CopyingArray, copy: Copy) -> None:
    while not array.progress(copy).complete:
        pass


def begun(array: CopyingArray, world: World) -> tuple[Lun, Lun, Copy]:
    """Have the copy begun, and return it with its two LUNs."""
    source, target = luns(array, world)
    return source, target, array.begin_copy(source, target)


def writes(sim: CopyingSimulator) -> list[tuple[str, str]]:
    """Return the changes of the array, without log-ins and log-outs."""
    calls = [(method, path.removeprefix("/api/v1")) for method, path in sim.calls if method != "GET"]
    return [call for call in calls if not call[1].startswith("/credentials")]


def bodies(sim: CopyingSimulator, method: str, what: str) -> list[object]:
    """Collect the bodies of requests from now on."""
    found: list[object] = []

    def keep(request: Request) -> None:
        found.append(request.body)

    sim.before(method, what, keep, times=100)
    return found


def error(status: int, code: int, text: str = "the array's own words") -> Reply:
    return Reply(status, {"code": code, "desc": text})


def the_task(copies: Copies) -> SimTask:
    (task,) = copies.tasks.values()
    return task


# Names, and how far a task is


@pytest.mark.parametrize(
    ("vsphere", "wwn", "uuid"),
    [
        (RDM, RDM[4:], ""),
        ("rfc4122.60002ac0-0000-0000-0000-182d00021f6b", RDM[4:], ""),
        (f"rfc4122.{UUID}", "", UUID),
        (f"vvol:{UUID}", "", UUID),
        (f"naa.{'6' * 32}", "", "66666666-6666-6666-6666-666666666666"),
        ("rfc4122.", "", ""),
        (f"rfc4122.{UUID}0", "", ""),
        (f"rfc4122.{UUID} or name EQ x", "", ""),
    ],
)
def test_what_vsphere_calls_a_volume(vsphere: str, wwn: str, uuid: str) -> None:
    assert names.wwn_of(vsphere) == wwn
    assert wwn or names.uuid_of(vsphere) == uuid


@pytest.mark.parametrize("name", ["dat-1->pvc-1", "dat-1 -> pvc-1", "dat-1 pvc-1", "copy(dat-1,pvc-1)"])
def test_volumes_are_named_in_tasks_in_whatever_form(name: str) -> None:
    assert names.volumes_in(name)[-2:] == ["dat-1", "pvc-1"]


@pytest.mark.parametrize(
    ("phases", "steps", "percent"),
    [
        ((0, 1), (0, 256), 0),
        ((0, 1), (64, 256), 25),
        ((0, 1), (256, 256), 99),
        ((1, 1), (64, 256), 25),  # where the phase at work is counted among the completed
        ((1, 2), (64, 256), 62),
        ((0, 1), (300, 256), 99),
        ((0, 0), (0, 0), 0),
        ((0, 1), (0, 0), 0),
    ],
)
def test_percent_is_that_of_phases_and_their_steps(
    phases: tuple[int, int], steps: tuple[int, int], percent: int
) -> None:
    fields = ("completedPhases", "totalPhases", "completedSteps", "totalSteps")
    row = {"id": 1, "type": 1, "name": "", "status": 2} | dict(zip(fields, phases + steps, strict=True))
    assert tasks.read_task(Answer(row, "the array")).percent == percent


def test_a_task_that_says_nothing_of_its_steps_is_at_0_percent() -> None:
    row = {"id": 1, "type": 1, "status": 2}
    assert tasks.read_task(Answer(row, "the array")).percent == 0


# Which volume a disk is


def test_a_mapped_device_is_found_by_its_wwn(lab: HpeLab, sim: CopyingSimulator, array: CopyingArray) -> None:
    for name in (RDM, device_of(RDM_VML)):
        lab.add_source(name, SIZE)
        found = array.find_source(Backing(DiskKind.RDM, name))
        assert (found.device, found.size) == (name, SIZE)
    assert device_of(RDM_VML) == "naa.60002ac0000000000000186b00021f6b"


def test_a_device_of_another_maker_is_not_asked_for(sim: CopyingSimulator, array: CopyingArray) -> None:
    for name in (f"naa.{'6' * 32}", f"naa.624a9370{'0' * 24}"):
        with pytest.raises(CannotCopy, match="not of an HPE array"):
            array.find_source(Backing(DiskKind.RDM, name))
    assert sim.calls == []


@pytest.mark.parametrize("form", ["rfc4122.{uuid}", "vvol:{uuid}", "naa.{wwn}", "rfc4122.{wwn}"])
def test_a_vvol_is_found_by_its_uuid_or_its_wwn(
    lab: HpeLab, sim: CopyingSimulator, array: CopyingArray, form: str
) -> None:
    device = lab.add_source(f"rfc4122.{UUID}", SIZE)
    backing = form.format(uuid=UUID, wwn=device.removeprefix("naa."))
    assert array.find_source(Backing(DiskKind.VVOL, backing)).device == device


def test_a_vvol_is_in_no_list_that_is_not_asked_for_it(
    lab: HpeLab, sim: CopyingSimulator, array: CopyingArray
) -> None:
    lab.add_source(f"rfc4122.{UUID}", SIZE)
    sim.queries.discard("volumes")
    with pytest.raises(CannotCopy, match="has no volumes"):
        array.find_source(Backing(DiskKind.VVOL, f"rfc4122.{UUID}"))


def test_where_several_volumes_are_the_disk_none_is(lab: HpeLab, array: CopyingArray) -> None:
    for _ in range(2):
        lab.add_source(f"rfc4122.{UUID}", SIZE)
    with pytest.raises(CannotCopy, match="has 2 volumes"):
        array.find_source(Backing(DiskKind.VVOL, f"rfc4122.{UUID}"))


def test_what_the_list_holds_beside_is_looked_at_again(
    lab: HpeLab, sim: CopyingSimulator, array: CopyingArray
) -> None:
    """A version that does not filter gives all."""
    lab.add_volume()
    sim.queries.discard("volumes")
    with pytest.raises(CannotCopy, match="has no volumes"):
        array.find_source(Backing(DiskKind.RDM, RDM))


def test_a_volume_with_a_strange_wwn_is_not_copied(
    lab: HpeLab, sim: CopyingSimulator, array: CopyingArray
) -> None:
    lab.add_source(f"rfc4122.{UUID}", SIZE)
    answer = {"id": 1, "name": "dat-1", "wwn": "5" * 32, "uuid": UUID, "sizeMiB": 2}
    sim.before("GET", "/volumes", lambda _: Reply(200, {"total": 1, "members": [answer]}))
    with pytest.raises(CannotCopy, match="has the WWN"):
        array.find_source(Backing(DiskKind.VVOL, f"rfc4122.{UUID}"))


def test_a_frozen_vvol_that_is_a_read_only_snapshot_is_left_to_the_host(
    lab: HpeLab, world: World, array: CopyingArray
) -> None:
    frozen = world.sim.copies.snapshot(world.source, "dat-frozen", read_only=True)
    with pytest.raises(CannotCopy, match="read-only snapshot"):
        array.find_source(Backing(DiskKind.VVOL, f"rfc4122.{frozen.uuid}"))


def test_a_snapshot_that_can_be_written_to_is_copied(world: World, array: CopyingArray) -> None:
    snapshot = world.sim.copies.snapshot(world.source, "dat-clone")
    source, target = array.find_source(Backing(DiskKind.RDM, snapshot.naa)), array.find_lun(world.pv)
    follow(array, array.begin_copy(source, target))
    assert world.copied
    world.check_untouched()


# What is asked for


def test_one_request_is_all_and_it_only_reads_the_source(
    world: World, sim: CopyingSimulator, array: CopyingArray
) -> None:
    requests = bodies(sim, "POST", "/volumes")
    _, target, copy = begun(array, world)
    follow(array, copy)
    assert writes(sim) == [("POST", f"/volumes/{world.source.name}")]
    parameters = {"destVolume": target.name, "online": False, "saveSnapshot": False}
    assert requests == [{"action": "createPhysicalCopy", "parameters": parameters}]
    assert world.copied
    assert (world.target.copy_type, world.target.parent, world.target.states) == (1, None, set())
    assert [one.parent for one in sim.volumes.values()] == [None, None]
    world.check_untouched()


def test_what_the_go_populator_does_writes_to_the_source(world: World, copies: Copies) -> None:
    """That our simulator would show it, were it ever done."""
    snapshot = copies.snapshot(world.source, "temporary")
    world.file.write(0, b"what the VM wrote since")
    written = world.file.bytes_written
    copies.promote(snapshot, online=True)
    assert world.file.bytes_written == written + SIZE
    assert world.file.read(0, SIZE) == world.bytes


def test_no_session_is_held_while_the_array_copies(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    _, _, copy = begun(array, world)
    for _ in range(3):
        array.progress(copy)
        assert sim.sessions == {}
    array.end_copy(copy)


def test_a_larger_target_keeps_its_size_and_what_is_behind(
    lab: HpeLab, sim: CopyingSimulator, array: CopyingArray
) -> None:
    world = World(lab, 2 * SIZE)
    world.target_file.write(SIZE, b"behind")
    _, target, copy = begun(array, world)
    follow(array, copy)
    assert world.copied
    assert world.target_file.read(SIZE, 6) == b"behind"
    assert array.find_lun(world.pv) == target


# What the array cannot copy is refused before anything is changed


def check_refused(array: CopyingArray, world: World, says: str, *, asked: bool) -> None:
    source, target = luns(array, world)
    with pytest.raises(CannotCopy) as caught:
        array.begin_copy(source, target)
    assert says in caught.value.text
    assert bool(writes(world.sim)) == asked
    assert world.target_file.bytes_written == 0
    assert world.lab.copies == 0 or not asked
    world.check_untouched()


def test_a_target_that_is_too_small(lab: HpeLab, array: CopyingArray) -> None:
    check_refused(array, World(lab, SIZE // 2), f"has {SIZE // 2} bytes, and", asked=False)


def test_a_target_that_somebody_keeps_as_a_physical_copy(
    world: World, sim: CopyingSimulator, array: CopyingArray
) -> None:
    tie(world.target, sim.add_volume("their-base", 2))
    assert list(array.copies_onto(array.find_lun(world.pv))) == []
    check_refused(array, world, "is kept as a physical copy of their-base", asked=False)
    assert world.target.copy_type == 2


def test_a_target_that_is_a_snapshot(world: World, sim: CopyingSimulator, array: CopyingArray) -> None:
    world.target.copy_type, world.target.parent = SNAPSHOT, sim.add_volume("their-base", 2)
    check_refused(array, world, "is no base volume", asked=False)


def test_a_target_that_was_mapped_meanwhile(world: World, sim: CopyingSimulator, array: CopyingArray) -> None:
    sim.add_host("esx1", [ESX])
    sim.export(world.target.name, "esx1")
    check_refused(array, world, "the destination volume is exported", asked=True)


def test_a_vvol_where_the_array_does_not_copy_such(
    lab: HpeLab, world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.vvol_parents = False
    lab.add_source(f"rfc4122.{UUID}", SIZE)
    source = array.find_source(Backing(DiskKind.VVOL, f"rfc4122.{UUID}"))
    with pytest.raises(CannotCopy, match="must allow snapshots"):
        array.begin_copy(source, array.find_lun(world.pv))
    assert world.target_file.bytes_written == 0


def test_a_source_without_space_for_snapshots_is_not_given_any(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    """Where a version wants it: the VM's volume is not ours to change. Later ones need none."""
    copies.needs_snap_cpg = True
    check_refused(array, world, "no snapshot CPG", asked=True)
    world.source.snap_cpg = "SSD_r6"
    _, _, copy = begun(array, world)
    follow(array, copy)
    assert world.copied
    assert not [call for call in writes(sim) if call[0] == "PUT"]


def test_volumes_of_two_virtual_domains(world: World, sim: CopyingSimulator, array: CopyingArray) -> None:
    sim.domains.add("red")
    world.source.domain = "red"
    check_refused(array, world, "not in the same domain", asked=True)


def test_a_volume_onto_itself(lab: HpeLab, world: World, array: CopyingArray) -> None:
    target = array.find_lun(world.pv)
    with pytest.raises(CannotCopy, match="the same as the parent"):
        array.begin_copy(array.find_source(Backing(DiskKind.RDM, target.device)), target)


@pytest.mark.parametrize(
    ("status", "code"), [(400, 12), (403, 921), (403, 29), (404, 23), (409, 34), (409, 930)]
)
def test_whatever_else_it_refuses_a_host_copies(
    world: World, sim: CopyingSimulator, array: CopyingArray, status: int, code: int
) -> None:
    sim.before("POST", "/volumes", lambda _: error(status, code))
    check_refused(array, world, f"the array's own words (HTTP {status}, code {code})", asked=True)


@pytest.mark.parametrize("code", [5, 13])
def test_a_missing_right_is_not_about_the_volumes(
    world: World, sim: CopyingSimulator, array: CopyingArray, code: int
) -> None:
    sim.before("POST", "/volumes", lambda _: error(403, code))
    source, target = luns(array, world)
    with pytest.raises(Refused) as caught:
        array.begin_copy(source, target)
    assert not isinstance(caught.value, CannotCopy)
    assert "role" in caught.value.hint


@pytest.mark.parametrize(("status", "code"), [(500, 1), (503, 1), (429, 0), (403, 6), (401, 0)])
def test_what_may_pass_is_asked_for_again(
    world: World, sim: CopyingSimulator, array: CopyingArray, status: int, code: int
) -> None:
    sim.before("POST", "/volumes", lambda _: error(status, code))
    _, _, copy = begun(array, world)
    follow(array, copy)
    assert world.copied


def test_names_that_were_given_to_others_meanwhile(
    world: World, sim: CopyingSimulator, array: CopyingArray
) -> None:
    source, target = luns(array, world)
    for volume in (world.source, world.target):
        name = volume.name
        sim.volumes["moved"], volume.name = sim.volumes.pop(name), "moved"
        other = sim.add_volume(name, 2)
        with pytest.raises(StorageError, match="was given to another"):
            array.begin_copy(source, target)
        sim.remove_volume(other.name)
        sim.volumes[name], volume.name = sim.volumes.pop("moved"), name
    assert writes(sim) == []
    assert world.target_file.bytes_written == 0


def test_a_source_that_is_gone(world: World, sim: CopyingSimulator, array: CopyingArray) -> None:
    source, target = luns(array, world)
    sim.remove_volume(world.source.name)
    with pytest.raises(CannotCopy, match="any more"):
        array.begin_copy(source, target)


# A lost answer


def lose_first(method: str) -> Rule:
    """Let the answer to the first call of a method on a volume or a task be lost, though it is done."""
    lost: list[Call] = []

    def rule(call: Call) -> str | None:
        if lost or not call.label.startswith((f"{method} /api/v1/volumes", f"{method} /api/v1/tasks")):
            return None
        lost.append(call)
        return "after"

    return rule


@pytest.mark.parametrize("task_names", ["{source}->{target}", "{target}", "{source} {target}"])
def test_the_copy_under_way_is_found_by_its_task(
    front: Front, world: World, copies: Copies, task_names: str
) -> None:
    copies.seconds, copies.task_names = 0.5, task_names
    front.ledger.reset(lose_first("POST"))
    array = cast("CopyingArray", front.connect())
    _, _, copy = begun(array, world)
    assert copy.id == str(the_task(copies).id)
    follow(array, copy)
    assert world.copied
    world.check_untouched()


def test_a_copy_whose_task_names_nobody_is_stopped_and_begun_again(
    front: Front, world: World, copies: Copies
) -> None:
    copies.seconds, copies.task_names = 0.5, "vvcopy"
    front.ledger.reset(lose_first("POST"))
    array = cast("CopyingArray", front.connect())
    _, _, copy = begun(array, world)
    first, second = copies.tasks.values()
    assert (first.shown, copy.id) == (3, str(second.id))
    follow(array, copy)
    assert world.copied
    world.check_untouched()


def test_a_copy_that_waits_unseen_is_not_left_to_the_host(front: Front, world: World, copies: Copies) -> None:
    """The second request is refused because of the first, and that is no reason for somebody else to write."""
    copies.at_once, copies.shows_waiting, copies.task_names = 0, False, "vvcopy"
    front.ledger.reset(lose_first("POST"))
    array = cast("CopyingArray", front.connect())
    source, target = luns(array, world)
    with pytest.raises(Refused) as caught:
        array.begin_copy(source, target)
    assert caught.value.code == str(PCOPY_IN_PROGRESS)
    copies.at_once = 2


def test_an_error_of_the_array_may_be_said_of_a_copy_that_was_begun(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    copies.at_once, copies.shows_waiting, copies.task_names = 0, False, "vvcopy"
    source, target = luns(array, world)

    def begin_and_fail(_: Request) -> Reply:
        copies.start(world.source, world.target)
        return error(500, 1)

    sim.before("POST", "/volumes", begin_and_fail)
    with pytest.raises(Refused) as caught:
        array.begin_copy(source, target)
    assert caught.value.code == str(PCOPY_IN_PROGRESS)
    copies.at_once = 2


def test_a_task_that_was_there_before_is_not_taken_for_the_copys(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    other = copies.start(sim.add_volume("their-base", 2), sim.add_volume("their-copy", 2))
    source, target = luns(array, world)
    sim.before("POST", "/volumes", lambda _: Reply(200, {"taskid": other.id}))
    with pytest.raises(StorageError, match="was there before"):
        array.begin_copy(source, target)


# How a task ends


def test_a_copy_that_is_cancelled_by_somebody_is_a_failure(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    _, target, copy = begun(array, world)
    copies.cancel(the_task(copies))
    with pytest.raises(StorageError, match="was cancelled") as caught:
        array.progress(copy)
    assert "showtask" in caught.value.hint
    assert list(array.copies_onto(target)) == []


def test_a_task_that_is_cancelled_and_still_writes_is_waited_for(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds, copies.lag, copies.tells_early = LONG, 12, True
    source, target, copy = begun(array, world)
    copies.cancel(the_task(copies))
    with pytest.raises(StorageError, match="was cancelled"):
        array.progress(copy)
    assert [one.source for one in array.copies_onto(target)] == [source.id]
    array.end_copy(copy)
    assert world.target_file.writers == []


def test_a_copy_that_goes_on_untied_is_still_known_for_this_runs(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds, copies.lag, copies.unties_early, copies.task_names = LONG, 20, True, "vvcopy"
    source, target, _ = begun(array, world)
    copies.cancel(the_task(copies))
    (known,) = array.copies_onto(target)
    assert (known.id, known.source) == ("", source.id)
    array.end_copy(known)
    assert world.target_file.writers == []


@pytest.mark.parametrize("status", [0, 5, 99])
def test_a_state_that_nobody_knows_is_a_failure(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray, status: int
) -> None:
    _, _, copy = begun(array, world)
    the_task(copies).status = status
    with pytest.raises(StorageError, match="no known state"):
        array.progress(copy)


def test_a_task_that_is_forgotten_is_a_failure_though_all_may_be_copied(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    _, _, copy = begun(array, world)
    copies.tasks.clear()
    with pytest.raises(StorageError, match="does not know the task") as caught:
        array.progress(copy)
    assert caught.value.hint


def test_a_target_that_is_tied_for_a_while_longer_is_waited_for(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.stays_tied = 6
    _, _, copy = begun(array, world)
    assert world.target.copy_type == 2
    follow(array, copy)
    assert world.target.copy_type == 1
    assert world.copied


def test_a_target_that_stays_tied_is_no_success(world: World, array: CopyingArray) -> None:
    _, _, copy = begun(array, world)
    tie(world.target, world.source)
    assert array.progress(copy) == Progress(99, complete=False)


def test_a_target_that_is_still_written_to_is_no_success(world: World, array: CopyingArray) -> None:
    _, _, copy = begun(array, world)
    world.target.states.add(COPY_TARGET)
    assert array.progress(copy) == Progress(99, complete=False)


def test_a_task_that_is_done_is_not_believed_against_the_volume(world: World, array: CopyingArray) -> None:
    _, _, copy = begun(array, world)
    world.target.states.add(COPY_FAILED)
    with pytest.raises(StorageError, match="has failed"):
        array.progress(copy)


def test_a_copy_that_fails_leaves_a_tie_that_is_undone(
    world: World, lab: HpeLab, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = 0.1
    lab.san.set_fault(world.naa, failing_from=SIZE // 2)
    source, target, copy = begun(array, world)
    with pytest.raises(StorageError, match="has failed"):
        follow(array, copy)
    assert world.target.copy_type == 2
    assert [one.source for one in array.copies_onto(target)] == [source.id]
    array.end_copy(copy)
    assert (world.target.copy_type, world.target.states) == (1, {COPY_FAILED})
    lab.san.set_fault(world.naa)
    follow(array, array.begin_copy(source, target))
    assert (world.copied, world.target.states) == (True, set())


def test_a_tie_that_a_failed_copy_left_is_in_nobodys_way(
    world: World, sim: CopyingSimulator, lab: HpeLab, copies: Copies, array: CopyingArray
) -> None:
    """It cannot always be undone; the next copy undoes it."""
    tie(world.target, world.source)
    world.target.states.add(COPY_FAILED)
    for _ in range(2):
        sim.before("PUT", "/volumes", lambda _: error(403, 927))
    source, target = luns(array, world)
    array.end_copy(Copy("", source.id, target.id))
    assert world.target.copy_type == 2
    follow(array, array.begin_copy(source, target))
    assert world.copied
    assert world.target.copy_type == 1


# Who else copies


def test_two_copies_of_one_source_are_two(
    lab: HpeLab, world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    other = cast("CopyingArray", connect(lab))
    source, target, copy = begun(array, world)
    second = other.find_lun(lab.add_volume(SIZE))
    theirs = other.begin_copy(source, second)
    assert theirs.id != copy.id
    array.end_copy(copy)
    assert list(array.copies_onto(target)) == []
    assert [(one.id, one.source) for one in array.copies_onto(second)] == [(theirs.id, source.id)]
    assert lab.copies == 1
    other.end_copy(theirs)
    assert lab.copies == 0


def test_somebody_elses_copy_onto_the_target_is_shown_and_left_alone(
    world: World, sim: CopyingSimulator, lab: HpeLab, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    copies.start(sim.add_volume("their-base", 2), world.target)
    source, target = luns(array, world)
    assert [one.source for one in array.copies_onto(target)] == ["their-base"]
    with pytest.raises(StorageError, match="copies their-base onto") as caught:
        array.begin_copy(source, target)
    assert not isinstance(caught.value, CannotCopy)
    array.end_copy(Copy("1", source.id, target.id))
    assert lab.copies == 1
    assert writes(sim) == []


def test_a_strangers_copy_that_waits_is_known_by_its_task(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    copies.at_once, copies.shows_waiting = 0, False
    copies.start(sim.add_volume("their-base", 2), world.target)
    (known,) = array.copies_onto(array.find_lun(world.pv))
    assert known.source == "their-base"
    copies.at_once = 2


def test_a_promotion_onto_the_target_is_a_copy_onto_it(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    snapshot = copies.snapshot(world.target, "their-snapshot")
    copies.seconds, copies.task_names = LONG, "promote"
    copies.promote(snapshot)
    source, target = luns(array, world)
    assert len(array.copies_onto(target)) == 1
    with pytest.raises(StorageError, match="copies something else onto"):
        array.begin_copy(source, target)


def test_a_promotion_begun_after_a_request_that_was_lost_is_not_taken_for_the_copy(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    """Were its end taken for the copy's, the volume would be given away without its bytes."""
    snapshot = copies.snapshot(world.target, "their-snapshot")
    copies.task_names = "{target}"
    source, target = luns(array, world)

    def promote_instead(_: Request) -> Reply:
        copies.seconds = LONG
        copies.promote(snapshot)
        return error(503, 1)

    sim.before("POST", "/volumes", promote_instead)
    with pytest.raises(StorageError, match="copies something else onto"):
        array.begin_copy(source, target)


def test_a_copy_that_waits_for_others_goes_on_when_they_are_done(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds, copies.at_once = 0.3, 1
    copies.start(sim.add_volume("their-base", 2), sim.add_volume("their-copy", 2))
    source, target, copy = begun(array, world)
    assert array.progress(copy).percent == 0
    assert world.target.states == set()
    assert [(one.id, one.source) for one in array.copies_onto(target)] == [(copy.id, source.id)]
    follow(array, copy)
    assert world.copied


def test_a_copy_that_is_shown_as_one_of_an_inner_snapshot_is_known_by_its_parents_number(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    source, target, copy = begun(array, world)
    world.target.parent = replace(world.source, name="inner.17")
    assert [one.source for one in array.copies_onto(target)] == [source.id]
    array.end_copy(copy)
    assert world.target_file.writers == []


# Ending


def lagging(copies: Copies) -> None:
    copies.lag = 8


def shown_as_cancelled(copies: Copies) -> None:
    copies.lag, copies.tells_early = 8, True


def untied_first(copies: Copies) -> None:
    copies.lag, copies.unties_early = 8, True


def untied_and_shown_as_cancelled(copies: Copies) -> None:
    copies.lag, copies.tells_early, copies.unties_early = 8, True, True


def stopped_by_the_task_alone(copies: Copies) -> None:
    copies.stops = False


def waiting(copies: Copies) -> None:
    copies.at_once = 0


def waiting_unseen(copies: Copies) -> None:
    copies.at_once, copies.shows_waiting = 0, False


WAYS = [
    lagging,
    shown_as_cancelled,
    untied_first,
    untied_and_shown_as_cancelled,
    stopped_by_the_task_alone,
    waiting,
    waiting_unseen,
]


@pytest.mark.parametrize("way", WAYS)
def test_ending_returns_when_nothing_is_written_any_more(
    world: World, lab: HpeLab, copies: Copies, array: CopyingArray, way: Callable[[Copies], None]
) -> None:
    copies.seconds = LONG
    way(copies)
    _, target, copy = begun(array, world)
    array.end_copy(copy)
    assert world.target_file.writers == []
    assert list(array.copies_onto(target)) == []
    assert lab.copies == 0
    world.check_untouched()


@pytest.mark.parametrize("way", WAYS)
def test_ending_survives_a_lost_answer(
    front: Front, world: World, copies: Copies, way: Callable[[Copies], None]
) -> None:
    copies.seconds = LONG
    way(copies)
    array = cast("CopyingArray", front.connect())
    _, _, copy = begun(array, world)
    front.ledger.reset(lose_first("PUT"))
    array.end_copy(copy)
    assert world.target_file.writers == []
    assert front.lab.simulator.copies.count == 0  # type: ignore[attr-defined]


def test_a_copy_that_cannot_be_ended_is_not_said_to_be(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds, copies.stops, copies.cancels = LONG, False, False
    _, _, copy = begun(array, world)
    with pytest.raises(Refused, match="cannot be cancelled"):
        array.end_copy(copy)
    assert world.target_file.writers


def test_a_copy_that_never_stops_is_not_said_to_have(
    world: World, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds, copies.lag = LONG, 10_000
    _, _, copy = begun(array, world)
    with pytest.raises(StorageError, match="has not yet stopped") as caught:
        array.end_copy(copy)
    assert "showtask" in caught.value.hint
    assert world.target_file.writers


def test_a_right_that_is_missing_for_the_end_is_said_at_once(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    _, _, copy = begun(array, world)
    sim.before("PUT", "/volumes", lambda _: error(403, 13))
    with pytest.raises(Refused) as caught:
        array.end_copy(copy)
    assert "role" in caught.value.hint


def test_a_copy_that_is_complete_is_ended_without_a_word(
    world: World, sim: CopyingSimulator, array: CopyingArray
) -> None:
    _, _, copy = begun(array, world)
    follow(array, copy)
    array.end_copy(copy)
    assert writes(sim) == [("POST", f"/volumes/{world.source.name}")]
    assert world.copied


def test_a_copy_that_comes_to_its_end_right_before_it_is_ended(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    copies.seconds = LONG
    _, _, copy = begun(array, world)

    def come_to_its_end(_: Request) -> None:
        transfer = the_task(copies).transfer
        assert transfer
        transfer.end()
        copies.settle()

    sim.before("PUT", "/volumes", come_to_its_end)
    array.end_copy(copy)
    assert world.target_file.writers == []


def test_a_later_run_ends_what_it_finds(
    lab: HpeLab, world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    """It has not begun it, and knows it by the volumes alone."""
    copies.seconds, copies.task_names = LONG, "vvcopy"
    source, target, _ = begun(array, world)
    later = cast("CopyingArray", connect(lab))
    (known,) = later.copies_onto(target)
    assert (known.id, known.source, known.target) == ("", source.id, target.id)
    later.end_copy(known)
    assert world.target_file.writers == []
    assert list(later.copies_onto(target)) == []


def test_a_target_that_is_gone_is_not_said_to_be_ended(
    world: World, sim: CopyingSimulator, copies: Copies, array: CopyingArray
) -> None:
    """Its name may be another one by now."""
    copies.seconds = LONG
    _, _, copy = begun(array, world)
    name = world.target.name
    sim.volumes["moved"], world.target.name = sim.volumes.pop(name), "moved"
    with pytest.raises(StorageError, match="any more"):
        array.end_copy(copy)
