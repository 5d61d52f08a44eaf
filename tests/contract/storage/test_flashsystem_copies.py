"""Copies by FlashSystem itself, in what is its own: mappings that others have, each of their states, the array's words
for errors, volumes whose numbers others get, and targets that a stopped mapping keeps offline.
"""

import time
from collections.abc import Callable
from typing import cast

import pytest

from populator.errors import StorageError
from populator.storage.array import Lun, Volume
from populator.storage.copies import Backing, CannotCopy, Copy, CopyingArray
from populator.storage.vendors.flashsystem.client import COPY_RATE
from tests.lab.arrays import QuickClock, connect, fc
from tests.lab.arrays.flashsystem.flashcopy import FlashCopies, SimFlashCopy, Status
from tests.lab.arrays.flashsystem.lab import FlashSystemLab
from tests.lab.arrays.flashsystem.server import FlashSystemSimulator
from tests.lab.arrays.flashsystem.system import SimVolume
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.disks import MIB, noise
from vsphere.model import DiskKind

SIZE = MIB
LONG = 30.0
"""seconds of a copy that is not meant to end by itself"""
BACKING = Backing(DiskKind.RDM, FlashSystemLab.backings.rdm)


@pytest.fixture
def lab(rack: Rack) -> FlashSystemLab:
    flashsystem = rack.add(FlashSystemLab)
    naa = flashsystem.add_source(BACKING.id, SIZE)
    flashsystem.san.lun(naa).path.write_bytes(noise(7, 0, SIZE))
    return flashsystem


@pytest.fixture
def flashcopies(sim: FlashSystemSimulator) -> FlashCopies:
    return sim.flashcopies


@pytest.fixture
def volume(lab: FlashSystemLab) -> Volume:
    return lab.add_volume(SIZE)


@pytest.fixture
def array(lab: FlashSystemLab) -> CopyingArray:
    return driver(lab)


@pytest.fixture
def source(array: CopyingArray) -> Lun:
    return array.find_source(BACKING)


@pytest.fixture
def target(array: CopyingArray, volume: Volume) -> Lun:
    return array.find_lun(volume)


@pytest.fixture
def begun(array: CopyingArray, source: Lun, target: Lun, lab: FlashSystemLab) -> Copy:
    """A copy that is under way."""
    lab.copy_seconds = LONG
    return array.begin_copy(source, target)


def driver(lab: FlashSystemLab, clock: QuickClock | None = None) -> CopyingArray:
    return cast("CopyingArray", connect(lab, clock))


def follow(array: CopyingArray, copy: Copy) -> None:
    end = time.monotonic() + 20
    while not array.progress(copy).complete:
        assert time.monotonic() < end, "the copy does not come to its end"


def commands(sim: FlashSystemSimulator) -> list[str]:
    return [path.removeprefix("/rest/v1/") for _, path in sim.calls]


def requests(sim: FlashSystemSimulator, command: str) -> list[Request]:
    """Collect the requests of a command from now on."""
    seen: list[Request] = []

    def keep(request: Request) -> None:
        seen.append(request)

    sim.before(command, keep, times=1000)
    return seen


def sim_volume(sim: FlashSystemSimulator, lun: Lun) -> SimVolume:
    return sim.volumes[int(lun.id)]


def only(flashcopies: FlashCopies) -> SimFlashCopy:
    (item,) = flashcopies.all.values()
    return item


def written(lab: FlashSystemLab, *luns: Lun) -> list[int]:
    return [lab.san.lun(lun.device).bytes_written for lun in luns]


def holds_the_disk(lab: FlashSystemLab, lun: Lun) -> bool:
    return lab.san.lun(lun.device).read(0, SIZE) == noise(7, 0, SIZE)


def mapping(flashcopies: FlashCopies, source: SimVolume, target: SimVolume, rate: int = 0) -> SimFlashCopy:
    """Return somebody's mapping that was started; at rate 0 it is a snapshot, and never comes to its end."""
    item = flashcopies.make(source, target, "theirs", rate)
    flashcopies.start(item, prep=True)
    return item


# The source


def test_one_call_finds_the_source_by_its_uid_in_upper_case(
    array: CopyingArray, sim: FlashSystemSimulator
) -> None:
    asked = requests(sim, "lsvdisk")
    assert array.find_source(BACKING).size == SIZE
    assert [request.body["filtervalue"] for request in asked] == [
        f"vdisk_UID={BACKING.id.removeprefix('naa.').upper()}"
    ]


def test_another_makers_device_is_not_asked_for(array: CopyingArray, sim: FlashSystemSimulator) -> None:
    with pytest.raises(CannotCopy):
        array.find_source(Backing(DiskKind.RDM, "naa.600a098038313954492458313032502d"))
    assert sim.calls == []


def two_of_them(sim: FlashSystemSimulator, known: SimVolume) -> None:
    sim.add_volume("twin", SIZE).uid = known.uid


def offline(_: FlashSystemSimulator, known: SimVolume) -> None:
    known.status = "offline"


def seen_by_nvme(sim: FlashSystemSimulator, known: SimVolume) -> None:
    sim.map(known, sim.add_host("nvme", ["nqn.2014-08.org.nvmexpress:esx"], "nvme"))


@pytest.mark.parametrize("change", [two_of_them, offline, seen_by_nvme])
def test_a_source_that_is_not_certain_or_not_there_is_not_copied(
    array: CopyingArray,
    sim: FlashSystemSimulator,
    change: Callable[[FlashSystemSimulator, SimVolume], None],
) -> None:
    change(sim, sim.volumes[0])
    with pytest.raises(CannotCopy):
        array.find_source(BACKING)


# How a copy begins


def test_the_commands_of_a_copy(
    array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    name = f"xcopy-{source.id}-to-{target.id}"
    made, started, deleted = requests(sim, "mkfcmap"), requests(sim, "startfcmap"), requests(sim, "rmfcmap")
    sim.calls.clear()
    follow(array, array.begin_copy(source, target))
    assert commands(sim) == [
        "lsfcmap",
        "mkfcmap",
        "lsfcmap",
        "lsvdisk",
        "lsvdisk",
        f"startfcmap/{name}",
        "lsfcmap",
        f"rmfcmap/{name}",
    ]
    assert [request.body for request in made] == [
        {
            "name": name,
            "source": source.id,
            "target": target.id,
            "copyrate": COPY_RATE,
            "cleanrate": COPY_RATE,
        }
    ]
    assert [request.body for request in started] == [{"prep": True}]
    assert [request.body for request in deleted] == [{}]


def test_other_sizes_are_refused_before_anything_is_done(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun
) -> None:
    larger = array.find_lun(lab.add_volume(2 * SIZE))
    sim.calls.clear()
    with pytest.raises(CannotCopy, match="equal size"):
        array.begin_copy(source, larger)
    assert sim.calls == []


def test_a_size_that_changes_meanwhile_is_refused_by_the_array(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    sim_volume(sim, target).size = 2 * SIZE
    with pytest.raises(CannotCopy, match="CMMVC5924E"):
        array.begin_copy(source, target)
    assert (lab.copies, written(lab, source, target)) == (0, [0, 0])


def test_a_volume_is_not_copied_onto_itself(array: CopyingArray, source: Lun) -> None:
    with pytest.raises(CannotCopy, match="CMMVC6303E"):
        array.begin_copy(source, source)


def test_a_source_with_as_many_mappings_as_there_can_be_is_not_copied(
    array: CopyingArray, sim: FlashSystemSimulator, flashcopies: FlashCopies, source: Lun, target: Lun
) -> None:
    for number in range(256):
        flashcopies.make(sim_volume(sim, source), sim.add_volume(f"snapshot-{number}", SIZE))
    with pytest.raises(CannotCopy, match="as many FlashCopy mappings"):
        array.begin_copy(source, target)


@pytest.mark.parametrize("status", [400, 409, 500])
@pytest.mark.parametrize("code", ["CMMVC5907E", "CMMVC5903E"])
def test_a_refusal_to_start_is_success_where_it_was_started(
    lab: FlashSystemLab,
    array: CopyingArray,
    sim: FlashSystemSimulator,
    source: Lun,
    target: Lun,
    code: str,
    status: int,
) -> None:
    lab.copy_seconds = 0.2

    def start(_: Request) -> Reply:
        sim.flashcopies.start(only(sim.flashcopies), prep=True)
        return sim.refuse(code, status)

    sim.before("startfcmap", start)
    follow(array, array.begin_copy(source, target))
    assert holds_the_disk(lab, target)
    assert lab.copies == 0


@pytest.mark.parametrize("status", [400, 409, 500])
@pytest.mark.parametrize("code", ["CMMVC5907E", "CMMVC5903E", "CMMVC9999E"])
def test_and_none_where_it_was_not(
    lab: FlashSystemLab,
    array: CopyingArray,
    sim: FlashSystemSimulator,
    source: Lun,
    target: Lun,
    code: str,
    status: int,
) -> None:
    sim.before("startfcmap", lambda _: sim.refuse(code, status))
    with pytest.raises(CannotCopy, match=code):
        array.begin_copy(source, target)
    assert (lab.copies, written(lab, target)) == (0, [0])


def test_a_start_that_had_no_effect_is_no_success_though_an_older_copy_was_complete(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    left_by_a_dead_run(lab, source, target, start=True)
    sim.before("startfcmap", lambda _: Reply(200, b""))
    copy = array.begin_copy(source, target)
    with pytest.raises(StorageError, match="idle_or_copied at 0 %"):
        array.progress(copy)
    array.end_copy(copy)
    assert lab.copies == 0


@pytest.mark.parametrize("code", ["CMMVC6466E", "CMMVC6035E"])
def test_a_mapping_that_an_earlier_try_has_made_is_used(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun, code: str
) -> None:
    def make(_: Request) -> Reply:
        left_by_a_dead_run(lab, source, target)
        return sim.refuse(code)

    sim.before("mkfcmap", make)
    follow(array, array.begin_copy(source, target))
    assert holds_the_disk(lab, target)
    assert lab.copies == 0


@pytest.mark.parametrize("start", [False, True])
def test_what_a_dead_run_has_left_is_used_for_the_bytes_of_now(
    lab: FlashSystemLab, array: CopyingArray, source: Lun, target: Lun, start: bool
) -> None:
    left_by_a_dead_run(lab, source, target, start=start)
    lab.san.lun(source.device).path.write_bytes(noise(8, 0, SIZE))
    assert [copy.source for copy in array.copies_onto(target)] == [source.id]
    follow(array, array.begin_copy(source, target))
    assert lab.san.lun(target.device).read(0, SIZE) == noise(8, 0, SIZE)
    assert lab.copies == 0


def left_by_a_dead_run(lab: FlashSystemLab, source: Lun, target: Lun, *, start: bool = False) -> None:
    """Leave a mapping of a run of ours, which was started and is complete, or was not."""
    sim = lab.simulator
    name = f"xcopy-{source.id}-to-{target.id}"
    item = sim.flashcopies.make(sim_volume(sim, source), sim_volume(sim, target), name)
    if start:
        sim.flashcopies.start(item, prep=True)


@pytest.mark.parametrize("command", ["mkfcmap", "startfcmap", "stopfcmap", "rmfcmap"])
def test_a_warning_is_no_error(
    lab: FlashSystemLab,
    array: CopyingArray,
    sim: FlashSystemSimulator,
    source: Lun,
    target: Lun,
    command: str,
) -> None:
    def do(_: Request) -> Reply:
        if command == "mkfcmap":
            left_by_a_dead_run(lab, source, target)
        else:
            item = only(sim.flashcopies)
            {
                "startfcmap": lambda: sim.flashcopies.start(item, prep=True),
                "stopfcmap": lambda: sim.flashcopies.stop(item),
                "rmfcmap": lambda: sim.flashcopies.remove(item, force=True),
            }[command]()
        return sim.refuse("CMMVC6372W")

    sim.before(command, do)
    lab.copy_seconds = LONG
    copy = array.begin_copy(source, target)
    assert not array.progress(copy).complete
    array.end_copy(copy)
    assert lab.copies == 0


def test_the_array_may_take_its_time_to_prepare(
    lab: FlashSystemLab, array: CopyingArray, flashcopies: FlashCopies, source: Lun, target: Lun
) -> None:
    flashcopies.prepare_seconds = 0.3
    copy = array.begin_copy(source, target)
    first = array.progress(copy)
    assert (first.percent, first.complete) == (0, False)
    follow(array, copy)
    assert holds_the_disk(lab, target)


def test_a_mapping_that_is_prepared_is_started_as_it_is(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    left_by_a_dead_run(lab, source, target)
    sim.flashcopies.prestart(only(sim.flashcopies))
    started = requests(sim, "startfcmap")
    follow(array, array.begin_copy(source, target))
    assert [request.body for request in started] == [{}]
    assert holds_the_disk(lab, target)


def test_a_source_that_cannot_be_flushed_is_an_error_and_the_target_comes_back(
    lab: FlashSystemLab,
    array: CopyingArray,
    flashcopies: FlashCopies,
    source: Lun,
    target: Lun,
    volume: Volume,
) -> None:
    flashcopies.flush_fails = True
    copy = array.begin_copy(source, target)
    with pytest.raises(StorageError, match="stopped at 0 %"):
        array.progress(copy)
    array.end_copy(copy)
    assert array.find_lun(volume) == target
    assert lab.copies == 0


# Others' mappings


def test_a_target_of_anothers_mapping_that_is_idle_is_a_hosts_work(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    for first in (sim.add_volume("other", SIZE), sim_volume(sim, source)):
        item = sim.flashcopies.make(first, sim_volume(sim, target), "theirs", 0)
        assert list(array.copies_onto(target)) == []
        with pytest.raises(CannotCopy, match="theirs"):
            array.begin_copy(source, target)
        assert only(sim.flashcopies) is item
        assert written(lab, target) == [0]
        sim.flashcopies.remove(item)


def test_a_target_that_another_copies_onto_is_nobodys_work_until_that_is_done(
    array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    """Not even a host's: there would be two who write."""
    item = mapping(sim.flashcopies, sim.add_volume("other", SIZE), sim_volume(sim, target))
    assert [copy.id for copy in array.copies_onto(target)] == [str(item.id)]
    with pytest.raises(StorageError, match="theirs") as caught:
        array.begin_copy(source, target)
    assert not isinstance(caught.value, CannotCopy)
    assert only(sim.flashcopies).status == Status.COPYING


def test_of_two_runs_from_different_disks_the_second_leaves_the_firsts_copy_alone(
    lab: FlashSystemLab, sim: FlashSystemSimulator, begun: Copy, source: Lun, target: Lun
) -> None:
    other = sim.add_volume("other", SIZE)
    with pytest.raises(StorageError, match=f"xcopy-{source.id}-to-{target.id}"):
        driver(lab).begin_copy(Lun(str(other.id), other.name, other.naa, SIZE), target)
    assert only(sim.flashcopies).status == Status.COPYING


def test_two_runs_with_one_disk_have_one_mapping(
    lab: FlashSystemLab, begun: Copy, source: Lun, target: Lun
) -> None:
    assert driver(lab).begin_copy(source, target) == begun
    assert lab.copies == 1


def test_a_target_by_which_others_read_is_a_hosts_work(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    """With `restore` the array would overwrite it all the same."""
    snapshot = mapping(sim.flashcopies, sim_volume(sim, target), sim.add_volume("snapshot", SIZE))
    with pytest.raises(CannotCopy, match="source of another"):
        array.begin_copy(source, target)
    assert only(sim.flashcopies) is snapshot
    assert written(lab, target) == [0]


def test_the_source_may_have_copies_and_snapshots_of_others_which_go_on(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    """The older ones read by our target until they have what they need of it."""
    lab.copy_seconds, sim.flashcopies.clean_seconds = 0.2, 0.3
    theirs = mapping(sim.flashcopies, sim_volume(sim, source), sim.add_volume("snapshot", SIZE))
    copy = array.begin_copy(source, target)
    seen = []
    while not (progress := array.progress(copy)).complete:
        seen.append(progress.percent)
    assert 100 in seen
    assert holds_the_disk(lab, target)
    assert only(sim.flashcopies) is theirs
    assert theirs.status == Status.COPYING


def test_mappings_that_a_filter_should_have_left_out_are_not_taken(
    array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    mapping(sim.flashcopies, sim_volume(sim, source), sim.add_volume("other", SIZE))
    row = {"id": "0", "source_vdisk_id": source.id, "target_vdisk_id": "2"}
    row |= {"name": "theirs", "status": "copying", "progress": "0"}
    sim.before("lsfcmap", lambda _: Reply(200, [row]))
    assert list(array.copies_onto(target)) == []


# Numbers and names that others get


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_number_that_another_volume_gets_before_the_mapping_is_made_is_noticed(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun, which: str
) -> None:
    lun = {"source": source, "target": target}[which]

    def recycle(_: Request) -> None:
        sim.remove_volume(sim_volume(sim, lun))
        assert sim.add_volume("stranger", SIZE).id == int(lun.id)

    sim.before("mkfcmap", recycle)
    with pytest.raises(StorageError, match="has the id of none now"):
        array.begin_copy(source, target)
    for copy in array.copies_onto(target):
        array.end_copy(copy)
    stranger = sim.volumes[int(lun.id)]
    assert lab.san.lun(stranger.naa).bytes_written == 0
    assert lab.copies == 0


def test_the_number_of_our_mapping_may_be_anothers_by_now(
    array: CopyingArray, sim: FlashSystemSimulator, begun: Copy, target: Lun
) -> None:
    ours = only(sim.flashcopies)
    sim.flashcopies.stop(ours)
    sim.flashcopies.remove(ours, force=True)
    theirs = mapping(sim.flashcopies, sim.add_volume("other", SIZE), sim_volume(sim, target))
    assert theirs.id == int(begun.id)
    with pytest.raises(StorageError, match="any more"):
        array.progress(begun)
    array.end_copy(begun)
    assert theirs.status == Status.COPYING


# What becomes of a copy


def test_one_that_somebody_stops_is_an_error_and_the_next_run_can_use_the_target(
    lab: FlashSystemLab,
    array: CopyingArray,
    sim: FlashSystemSimulator,
    begun: Copy,
    source: Lun,
    target: Lun,
    volume: Volume,
) -> None:
    sim.flashcopies.stop(only(sim.flashcopies))
    with pytest.raises(StorageError, match="is stopped") as caught:
        array.progress(begun)
    assert "event log" in caught.value.hint
    after = driver(lab)  # the run was killed before it could delete the mapping: the target is offline
    assert sim_volume(sim, target).unusable
    assert after.find_lun(volume) == target
    for copy in after.copies_onto(target):
        after.end_copy(copy)
    assert not sim_volume(sim, target).unusable
    lab.copy_seconds = 0.0
    follow(after, after.begin_copy(source, target))
    assert holds_the_disk(lab, target)


def test_one_that_is_stopping_before_its_end_is_an_error(
    array: CopyingArray, flashcopies: FlashCopies, begun: Copy
) -> None:
    flashcopies.stop_seconds = LONG
    flashcopies.stop(only(flashcopies))
    with pytest.raises(StorageError, match="is stopping"):
        array.progress(begun)


def test_one_that_is_stopped_when_all_is_copied_is_complete(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    sim.flashcopies.clean_seconds = 0.3
    mapping(sim.flashcopies, sim_volume(sim, source), sim.add_volume("snapshot", SIZE))
    copy = array.begin_copy(source, target)
    sim.flashcopies.stop(sim.flashcopies.all[int(copy.id)])
    progress = array.progress(copy)
    assert (progress.percent, progress.complete) == (100, False)
    follow(array, copy)
    assert holds_the_disk(lab, target)


def test_one_that_is_suspended_is_waited_for(
    lab: FlashSystemLab,
    array: CopyingArray,
    flashcopies: FlashCopies,
    source: Lun,
    target: Lun,
) -> None:
    lab.copy_seconds = 0.2
    copy = array.begin_copy(source, target)
    only(flashcopies).status = Status.SUSPENDED
    assert not array.progress(copy).complete
    only(flashcopies).status = Status.COPYING
    follow(array, copy)
    assert holds_the_disk(lab, target)


def test_a_status_that_nobody_knows_is_an_error(
    array: CopyingArray, sim: FlashSystemSimulator, begun: Copy
) -> None:
    row = {"id": begun.id, "name": "xcopy", "source_vdisk_id": begun.source, "target_vdisk_id": begun.target}
    sim.before("lsfcmap", lambda _: Reply(200, [row | {"status": "restoring", "progress": "100"}]))
    with pytest.raises(StorageError, match="is restoring"):
        array.progress(begun)


def test_one_that_somebody_deletes_is_no_success(
    array: CopyingArray, flashcopies: FlashCopies, begun: Copy
) -> None:
    array.progress(begun)
    flashcopies.stop(only(flashcopies))
    flashcopies.remove(only(flashcopies), force=True)
    with pytest.raises(StorageError, match="any more"):
        array.progress(begun)


def test_one_that_deletes_itself_since_somebody_wants_it_to_is_success_only_if_it_was_seen_complete(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    copy = array.begin_copy(source, target)
    only(sim.flashcopies).autodelete = True
    with pytest.raises(StorageError, match="any more"):
        array.progress(copy)

    sim.flashcopies.clean_seconds = 0.3
    mapping(sim.flashcopies, sim_volume(sim, source), sim.add_volume("snapshot", SIZE))
    copy = array.begin_copy(source, target)
    sim.flashcopies.all[int(copy.id)].autodelete = True
    assert (array.progress(copy).percent, array.progress(copy).complete) == (100, False)
    follow(array, copy)
    assert holds_the_disk(lab, target)


def test_a_copy_of_before_says_nothing_of_the_next_one(
    lab: FlashSystemLab, array: CopyingArray, flashcopies: FlashCopies, source: Lun, target: Lun
) -> None:
    first = array.begin_copy(source, target)
    follow(array, first)
    lab.copy_seconds = LONG
    assert array.begin_copy(source, target) == first
    flashcopies.stop(only(flashcopies))
    flashcopies.remove(only(flashcopies), force=True)
    with pytest.raises(StorageError, match="any more"):
        array.progress(first)


def test_one_at_work_is_not_deleted_whatever_a_list_of_before_says(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, begun: Copy
) -> None:
    row = {"id": begun.id, "source_vdisk_id": begun.source, "target_vdisk_id": begun.target}
    row |= {"name": only(sim.flashcopies).name, "status": "idle_or_copied", "progress": "100"}
    sim.before("lsfcmap", lambda _: Reply(200, [row]))
    with pytest.raises(StorageError, match="CMMVC5903E"):
        array.progress(begun)
    assert only(sim.flashcopies).status == Status.COPYING


def test_a_rate_that_somebody_changes_keeps_it_from_its_end_only_while_it_is_0(
    lab: FlashSystemLab, array: CopyingArray, flashcopies: FlashCopies, begun: Copy, target: Lun
) -> None:
    flashcopies.change_rate(only(flashcopies), 0)
    assert not array.progress(begun).complete
    lab.copy_seconds = 0.0
    flashcopies.change_rate(only(flashcopies), 50)
    follow(array, begun)
    assert holds_the_disk(lab, target)


# How a copy ends


def idle(flashcopies: FlashCopies, item: SimFlashCopy) -> None:
    flashcopies.stop(item)
    item.status, item.progress = Status.IDLE, 0


def prepared(flashcopies: FlashCopies, item: SimFlashCopy) -> None:
    flashcopies.stop(item)
    flashcopies.prestart(item)


def preparing(flashcopies: FlashCopies, item: SimFlashCopy) -> None:
    flashcopies.stop(item)
    flashcopies.prepare_seconds = 0.3
    flashcopies.start(item, prep=True)


def copying(_: FlashCopies, item: SimFlashCopy) -> None:
    assert item.status == Status.COPYING


def suspended(_: FlashCopies, item: SimFlashCopy) -> None:
    item.status = Status.SUSPENDED


def stopping(flashcopies: FlashCopies, item: SimFlashCopy) -> None:
    flashcopies.stop_seconds = 0.3
    flashcopies.stop(item)


def stopped(flashcopies: FlashCopies, item: SimFlashCopy) -> None:
    flashcopies.stop(item)


@pytest.mark.parametrize("state", [idle, preparing, prepared, copying, suspended, stopping, stopped])
def test_it_ends_in_each_state_and_leaves_a_target_that_can_be_used(
    lab: FlashSystemLab,
    array: CopyingArray,
    sim: FlashSystemSimulator,
    begun: Copy,
    target: Lun,
    volume: Volume,
    state: Callable[[FlashCopies, SimFlashCopy], None],
) -> None:
    state(sim.flashcopies, only(sim.flashcopies))
    stops = requests(sim, "stopfcmap")
    assert list(array.copies_onto(target)) == [begun]
    array.end_copy(begun)
    writes = lab.san.lun(target.device)
    assert (lab.copies, writes.writers) == (0, [])
    assert array.find_lun(volume) == target
    assert not sim_volume(sim, target).unusable
    assert all("force" not in request.body for request in stops)


@pytest.mark.parametrize("change", [stopped, stopping, idle])
def test_one_whose_state_changes_before_it_is_stopped_ends_as_well(
    lab: FlashSystemLab,
    array: CopyingArray,
    sim: FlashSystemSimulator,
    begun: Copy,
    change: Callable[[FlashCopies, SimFlashCopy], None],
) -> None:
    sim.before("stopfcmap", lambda _: change(sim.flashcopies, only(sim.flashcopies)))
    array.end_copy(begun)
    assert lab.copies == 0


def test_what_reads_by_the_target_of_one_that_ends_goes_on(
    array: CopyingArray, sim: FlashSystemSimulator, begun: Copy, target: Lun
) -> None:
    sim.flashcopies.clean_seconds = 0.3
    theirs = mapping(sim.flashcopies, sim_volume(sim, target), sim.add_volume("snapshot", SIZE))
    array.end_copy(begun)
    assert only(sim.flashcopies) is theirs
    assert theirs.status == Status.COPYING


def test_one_that_does_not_stop_is_no_end(
    lab: FlashSystemLab, sim: FlashSystemSimulator, begun: Copy, target: Lun
) -> None:
    clock = QuickClock()
    sim.flashcopies.stop_seconds = 1000.0
    with pytest.raises(StorageError, match="still stopping") as caught:
        driver(lab, clock).end_copy(begun)
    assert "lsfcmapdependentmaps" in caught.value.hint
    assert 100 < clock.waited < 200
    assert [copy.id for copy in driver(lab).copies_onto(target)] == [begun.id]


def test_one_that_the_array_refuses_to_stop_is_no_end(
    lab: FlashSystemLab, sim: FlashSystemSimulator, begun: Copy
) -> None:
    clock = QuickClock()
    only(sim.flashcopies).group = "theirs"
    with pytest.raises(StorageError, match="consistency group"):
        driver(lab, clock).end_copy(begun)
    assert clock.waited < 5
    assert only(sim.flashcopies).status == Status.COPYING


# Targets that are offline


def test_a_target_that_is_offline_for_anothers_mapping_is_refused(
    array: CopyingArray, sim: FlashSystemSimulator, volume: Volume, lab: FlashSystemLab
) -> None:
    item = mapping(sim.flashcopies, sim.add_volume("other", SIZE), lab.volume(volume))
    sim.flashcopies.stop(item)
    with pytest.raises(StorageError, match="is offline"):
        array.find_lun(volume)


def test_a_host_that_sees_the_source_does_not_matter(
    lab: FlashSystemLab, array: CopyingArray, sim: FlashSystemSimulator, source: Lun, target: Lun
) -> None:
    sim.map(sim_volume(sim, source), sim.add_host("esx1", [fc("20000025b5aa0001").name]))
    follow(array, array.begin_copy(source, target))
    assert holds_the_disk(lab, target)
    assert written(lab, source) == [0]


# The simulator shows what a driver would do that is not careful


@pytest.mark.parametrize("way", ["reverse", "restore"])
def test_a_mapping_the_wrong_way_round_is_seen_to_write_to_the_source(
    lab: FlashSystemLab, sim: FlashSystemSimulator, begun: Copy, source: Lun, target: Lun, way: str
) -> None:
    if way == "reverse":
        sim.flashcopies.stop(only(sim.flashcopies))
        sim.flashcopies.remove(only(sim.flashcopies), force=True)
    lab.copy_seconds = 0.0
    item = sim.flashcopies.make(sim_volume(sim, target), sim_volume(sim, source))
    sim.flashcopies.start(item, prep=True, restore=way == "restore")
    assert written(lab, source) == [SIZE]
