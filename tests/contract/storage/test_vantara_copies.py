"""Hitachi's own cases of copies by the array: which LDEV a disk is, every state of a pair, what the array refuses,
others' pairs, and what an array that is watched less closely would make look like success.
"""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.array import Lun, Volume
from populator.storage.copies import Backing, CannotCopy, Copy, CopyingArray, EndUnclear, Progress
from populator.storage.failures import Refused, Unanswered
from populator.storage.vendors.vantara import copies, names
from tests.lab.arrays import QuickClock, connect
from tests.lab.arrays.rack import Rack
from tests.lab.arrays.rest import Reply, Request
from tests.lab.arrays.vantara.lab import DATASTORE, FROZEN, MAPPED, VVOL, VantaraLab, number_of
from tests.lab.arrays.vantara.server import User, VantaraSimulator
from tests.lab.arrays.vantara.snapshots import NO_POOL, SimPair
from tests.lab.arrays.vantara.system import Failure
from tests.lab.disks import MIB, noise
from vsphere.model import DiskKind

SIZE = 2 * MIB
LONG = 60.0
"""seconds of a copy that is not meant to end by itself"""


@pytest.fixture
def lab(rack: Rack) -> VantaraLab:
    return rack.add(VantaraLab)


class World:
    """A mapped device with noise on it, a volume for it, and the driver."""

    def __init__(self, lab: VantaraLab) -> None:
        self.lab, self.sim = lab, lab.simulator
        self.file = lab.san.lun(lab.add_source(lab.backings.rdm, SIZE))
        self.bytes = noise(3, 0, SIZE)
        self.file.path.write_bytes(self.bytes)
        self.volume: Volume = lab.add_volume(SIZE)
        self.clock = QuickClock()
        self.array = driver(lab, self.clock)
        self.source = self.array.find_source(Backing(DiskKind.RDM, lab.backings.rdm))
        self.target = self.array.find_lun(self.volume)

    @property
    def written(self) -> int:
        return self.lab.san.lun(self.target.device).bytes_written

    @property
    def copied(self) -> bool:
        return self.lab.san.lun(self.target.device).read(0, SIZE) == self.bytes

    def begin(self) -> Copy:
        return self.array.begin_copy(self.source, self.target)

    def begin_long(self) -> Copy:
        self.lab.copy_seconds = LONG
        return self.begin()

    def follow(self, copy: Copy) -> list[Progress]:
        """Return what is reported until it is complete."""
        seen = []
        while not (progress := self.array.progress(copy)).complete:
            seen.append(progress)
        return [*seen, progress]

    def pair(self) -> SimPair:
        """Return the only pair there is."""
        (only,) = self.sim.pairs.all
        return only

    def add_ldev(self, label: str = "stranger", size: int = SIZE) -> int:
        return self.sim.add_ldev(label, size).id

    def stranger(self, pvol: int, svol: int | None, *, clone: bool = True, copies: bool = True) -> SimPair:
        """Make a pair as somebody else would."""
        pair = SimPair("backup", pvol, svol, 0, 0, clone, "medium", cascade=True, force=True)
        return self.sim.pairs.create(pair, copies=copies)

    def make_ours(self) -> None:
        """Make the pair that a run would."""
        pair = self.stranger(MAPPED, int(self.target.id))
        pair.group = names.pair_group(str(MAPPED), self.target.id)

    def check_source(self) -> None:
        assert self.file.bytes_written == 0
        assert self.file.read(0, SIZE) == self.bytes


@pytest.fixture
def world(lab: VantaraLab) -> Iterator[World]:
    made = World(lab)
    yield made
    made.check_source()
    lab.simulator.pairs.clear()


def driver(lab: VantaraLab, clock: Clock | None = None, **changes: Any) -> CopyingArray:
    return cast("CopyingArray", connect(lab, clock, **changes))


def posts(sim: VantaraSimulator) -> list[tuple[str, str]]:
    """Return all calls that change something but log-ins and log-outs."""
    calls = [(method, path.removeprefix(sim.base)) for method, path in sim.calls if method != "GET"]
    return [call for call in calls if not call[1].startswith("/sessions")]


def rdm(naa: str) -> Backing:
    return Backing(DiskKind.RDM, f"naa.{naa}")


def vvol(sim_id: str) -> Backing:
    return Backing(DiskKind.VVOL, sim_id)


# Which LDEV a mapped device is


def test_a_device_is_the_ldev_that_the_array_calls_so(lab: VantaraLab, world: World) -> None:
    assert (world.source.id, world.source.name, world.source.size) == (str(MAPPED), "rdm", SIZE)
    assert world.source.device == lab.backings.rdm


def test_a_number_of_five_digits_is_not_taken_for_another_ldev(
    lab: VantaraLab, sim: VantaraSimulator
) -> None:
    """65707 (0x100ab) ends with the same digits as 171, by Hitachi's own formula."""
    sim.add_ldev("small", SIZE, 171)
    sim.add_path(171, "CL4-A,1")
    prefix = sim.naa(171)[:-8].replace("60060e80", "60060e8f")
    sim.add_ldev("large", SIZE, 65707, f"{prefix}000000ab")
    sim.add_path(65707, "CL4-A,1")
    assert driver(lab).find_source(rdm(f"{prefix}000000ab")).name == "large"
    assert driver(lab).find_source(rdm(sim.naa(171))).name == "small"


@pytest.mark.parametrize("listed", [True, False], ids=["names in the list", "no names in the list"])
def test_an_ldev_of_a_virtual_storage_machine_is_searched_for(
    lab: VantaraLab, sim: VantaraSimulator, listed: bool
) -> None:
    naa = sim.naa(0x55, serial=715099)
    made = sim.add_ldev("moved", SIZE, 0x300, naa)
    made.virtual, made.resource_group = 0x55, 2
    sim.add_path(0x300, "CL4-A,1")
    sim.add_ldev("of that number", SIZE, 0x55)
    sim.naa_in_lists = listed
    assert driver(lab).find_source(rdm(naa)).id == str(0x300)


def test_the_search_goes_through_all_pages(lab: VantaraLab, sim: VantaraSimulator) -> None:
    for number in range(0x400, 0x400 + 1003):
        sim.add_ldev("", 512, number)
        sim.add_path(number, "CL4-A,1")
    naa = sim.naa(0x55, serial=715099)
    sim.add_ldev("last", SIZE, 0x4000, naa).virtual = 0x55
    sim.add_path(0x4000, "CL4-A,1")
    assert driver(lab).find_source(rdm(naa)).name == "last"


def test_a_device_that_no_ldev_is_called_by_is_a_hosts_work(lab: VantaraLab, sim: VantaraSimulator) -> None:
    sim.add_ldev("unseen", SIZE, 0x77)  # nobody sees it, so the array says no name
    other = sim.naa(DATASTORE, serial=715099)
    for naa in (sim.naa(0x77), sim.naa(0x78), other, f"{sim.naa(7)[:-8]}ffffffff"):
        with pytest.raises(CannotCopy, match="has no LDEV that is the device"):
            driver(lab).find_source(rdm(naa))


# Which LDEV a vVol is


def test_a_vvol_is_the_ldev_in_its_id(lab: VantaraLab, sim: VantaraSimulator) -> None:
    for backing, number in ((lab.backings.vvol, VVOL), (lab.backings.frozen, FROZEN)):
        lab.add_source(backing, SIZE)
        found = driver(lab).find_source(vvol(backing))
        assert found == Lun(str(number), f"LDEV {number}", backing, SIZE)


def test_a_vvol_of_another_array_is_not_the_ldev_of_that_number(
    lab: VantaraLab, sim: VantaraSimulator
) -> None:
    lab.add_source(lab.backings.vvol, SIZE)
    other = sim.naa(VVOL, serial=715099).replace("60060e80", "60060e81", 1)
    with pytest.raises(CannotCopy, match="for certain"):
        driver(lab).find_source(vvol(f"naa.{other}"))


def test_an_id_without_the_array_in_it_is_a_hosts_work(lab: VantaraLab, sim: VantaraSimulator) -> None:
    """The Go populator takes any last four digits for the LDEV's number."""
    lab.add_source(lab.backings.vvol, SIZE)
    for text in (f"rfc4122.00000000-0000-0000-0000-00000000{VVOL:04x}", f"{VVOL:04x}", "abc"):
        with pytest.raises(CannotCopy, match="not named as Hitachi"):
            driver(lab).find_source(vvol(text))
    assert sim.calls == []


def spoil(sim: VantaraSimulator, how: str) -> None:
    ldev = sim.ldevs[VVOL]
    if how == "no vVol":
        ldev.attributes.remove("SLU")
    elif how == "called otherwise":
        ldev.tells_naa, ldev.naa = True, sim.naa(VVOL)
    elif how == "virtual":
        ldev.virtual = 0x99
    elif how == "no neighbour":
        sim.paths.clear()
    elif how == "gone":
        sim.remove_ldev(VVOL)
    else:
        ldev.resource_group = 3  # with no LDEV whose name says how the array names those


@pytest.mark.parametrize(
    "how", ["no vVol", "called otherwise", "virtual", "no neighbour", "gone", "other group"]
)
def test_a_vvol_that_is_not_certain_is_a_hosts_work(lab: VantaraLab, sim: VantaraSimulator, how: str) -> None:
    lab.add_source(lab.backings.vvol, SIZE)
    if how == "called otherwise":
        sim.san.create_lun(f"naa.{sim.naa(VVOL)}", SIZE, "HITACHI", "OPEN-V")
    spoil(sim, how)
    with pytest.raises(CannotCopy, match="for certain"):
        driver(lab).find_source(vvol(lab.backings.vvol))


def test_a_vvol_that_the_array_calls_by_its_id_is_certain_without_a_neighbour(
    lab: VantaraLab, sim: VantaraSimulator
) -> None:
    lab.add_source(lab.backings.vvol, SIZE)
    sim.ldevs[VVOL].tells_naa = True
    sim.paths.clear()
    assert driver(lab).find_source(vvol(lab.backings.vvol)).id == str(VVOL)


@pytest.mark.parametrize(
    ("attribute", "why"),
    [
        ("DRS", "shares its reduced data"),
        ("VCP", "shares its reduced data"),
        ("VC", "shares its reduced data"),
        ("JNL", "is a journal volume"),
        ("POOL", "is a volume of a pool"),
    ],
)
def test_sources_that_cannot_be_cloned(lab: VantaraLab, world: World, attribute: str, why: str) -> None:
    world.sim.ldevs[MAPPED].attributes.append(attribute)
    with pytest.raises(CannotCopy, match=why):
        world.array.find_source(Backing(DiskKind.RDM, lab.backings.rdm))


def test_a_source_that_is_blocked(lab: VantaraLab, world: World) -> None:
    world.sim.ldevs[MAPPED].status = "BLK"
    with pytest.raises(CannotCopy, match="status BLK"):
        world.array.find_source(Backing(DiskKind.RDM, lab.backings.rdm))


# Beginning


def test_what_is_asked_for(world: World) -> None:
    copy = world.begin_long()
    pair = world.pair()
    assert copy == Copy(pair.id, str(MAPPED), world.target.id)
    assert (pair.pvol, pair.svol, pair.clone, pair.force) == (MAPPED, int(world.target.id), True, True)
    assert pair.group == f"xcopy-{MAPPED}-{world.target.id}"
    assert posts(world.sim) == [("POST", "/snapshots")]


def test_the_longest_name_of_a_group_is_within_the_arrays_limit() -> None:
    assert len(names.pair_group(str(names.HIGHEST_LDEV), str(0xFFFFF))) <= 32


@pytest.mark.parametrize(
    ("given", "speed"),
    [({}, "slower"), ({"COPY_SPEED": " "}, "slower"), ({"COPY_SPEED": "Faster"}, "faster")],
)
def test_the_speed(lab: VantaraLab, world: World, given: dict[str, str], speed: str) -> None:
    array = driver(lab, options=given)
    array.begin_copy(world.source, world.target)
    assert world.sim.pairs.made[-1].speed == speed


def test_a_speed_that_is_none(lab: VantaraLab) -> None:
    with pytest.raises(StorageError, match="COPY_SPEED is 'warp'") as caught:
        driver(lab, options={"COPY_SPEED": "warp"})
    assert "slower, medium, faster" in caught.value.hint


def test_snapshot_data_goes_into_the_sources_pool_else_into_the_targets(world: World) -> None:
    world.sim.pairs.pools = {0, 4, 5}
    world.sim.ldevs[MAPPED].pool, world.sim.ldevs[int(world.target.id)].pool = 4, 5
    world.follow(world.begin())
    world.sim.ldevs[MAPPED].pool = None
    world.follow(world.begin())
    assert [pair.pool for pair in world.sim.pairs.made] == [4, 5]
    world.sim.ldevs[int(world.target.id)].pool = None
    with pytest.raises(CannotCopy, match="which pool"):
        world.begin()


def test_a_source_with_capacity_saving_is_copied(world: World) -> None:
    """The Go populator's request is refused for those."""
    world.sim.ldevs[MAPPED].data_reduction = "compression_deduplication"
    world.follow(world.begin())
    assert world.copied


def spoil_target(world: World, how: str) -> None:
    ldev = world.sim.ldevs[int(world.target.id)]
    if how == "mapped":
        world.sim.add_path(ldev.id, "CL4-A,1")
    elif how == "thick":
        ldev.attributes.remove("HDP")
    elif how == "larger":
        ldev.blocks *= 2
        world.target = world.array.find_lun(world.volume)
    elif how == "same":
        world.target = world.source
    else:
        ldev.attributes.append(how)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("mapped", "is mapped to CL4-A,1"),
        ("thick", "is not of a pool"),
        ("larger", "a pair needs equal sizes"),
        ("same", "onto itself"),
        ("DRS", "shares its reduced data"),
        ("HORC", "in a pair already: remote copy"),
        ("GAD", "in a pair already: global-active device"),
        ("MRCF", "in a pair already: ShadowImage"),
        ("CMD", "is a command device"),
    ],
)
def test_targets_that_are_not_copied_onto(world: World, how: str, why: str) -> None:
    spoil_target(world, how)
    with pytest.raises(CannotCopy, match=why):
        world.begin()
    assert posts(world.sim) == []
    assert world.sim.pairs.all == []


def test_a_target_that_others_have_snapshots_of(world: World) -> None:
    world.stranger(int(world.target.id), None, clone=False, copies=False)
    with pytest.raises(CannotCopy, match="in a pair already: Thin Image"):
        world.begin()
    assert posts(world.sim) == []


@pytest.mark.parametrize("which", ["source", "target"])
def test_an_ldev_that_is_another_volume_by_now(world: World, which: str) -> None:
    """Numbers are given again: that of a deleted LDEV may be a stranger's."""
    number = int(getattr(world, which).id)
    world.sim.ldevs[number].label = "somebody else's"
    with pytest.raises(StorageError, match="any more") as caught:
        world.begin()
    assert not isinstance(caught.value, CannotCopy)
    assert posts(world.sim) == []


@pytest.mark.parametrize(
    "failure",
    [
        Failure("KART30000-E", "The pool cannot be used for Thin Image.", NO_POOL),
        Failure("KART30000-E", "The program product is not installed.", ("2E10", "7007")),
        Failure("KART30000-E", "The maximum of pairs is reached.", ("2E30", "0065")),
    ],
)
def test_what_the_array_refuses_is_a_hosts_work(world: World, failure: Failure) -> None:
    world.sim.fails.append(failure)
    with pytest.raises(CannotCopy, match=failure.text.rstrip(".")):
        world.begin()
    assert world.sim.pairs.all == []
    assert world.written == 0


def test_a_source_that_is_being_cloned_onto_is_refused_by_the_array(world: World) -> None:
    world.lab.copy_seconds = LONG
    other = world.add_ldev()
    world.source = Lun(str(other), "stranger", "", SIZE)
    before = world.add_ldev("before")
    world.stranger(before, other)
    with pytest.raises(CannotCopy, match="being cloned onto"):
        world.begin()


def test_a_user_without_the_right_is_told_so(lab: VantaraLab, world: World) -> None:
    world.sim.users["csi"] = User(world.sim.users["csi"].password, may_write=False)
    with pytest.raises(Refused) as caught:
        world.begin()
    assert caught.value.status == 403
    assert "role" in caught.value.hint


def test_an_array_that_is_busy_is_asked_again(world: World) -> None:
    world.sim.locked = 2
    world.sim.before("POST", "/snapshots", lambda _: Reply(503, {"messageId": "KART00003-E"}))
    world.follow(world.begin())
    assert world.copied
    assert len(world.sim.pairs.made) == 1


@pytest.mark.parametrize(
    "looks", [0, 1, 3], ids=["answered when done", "asked about once", "asked about often"]
)
def test_jobs_are_waited_for_however_the_array_answers(world: World, looks: int) -> None:
    world.sim.looks = looks
    world.follow(world.begin())
    assert world.copied


def test_a_job_that_ended_unknown_is_looked_after(world: World) -> None:
    """It has made the pair, and the array does not know it."""
    world.lab.copy_seconds = LONG

    def make(_request: Request) -> None:
        world.sim.fails.append("Unknown")
        world.make_ours()

    world.sim.before("POST", "/snapshots", make)
    assert world.begin().id == world.pair().id
    assert len(world.sim.pairs.made) == 1


def test_a_job_that_failed_since_another_try_was_first(world: World) -> None:
    world.lab.copy_seconds = LONG

    def make(_request: Request) -> None:
        world.make_ours()

    world.sim.before("POST", "/snapshots", make)
    assert world.begin().id == world.pair().id


def lose_answers(sim: VantaraSimulator, times: int = 1) -> None:
    """Let the next requests for a pair be lost, though the array may have heard them."""
    sim.before("POST", "/snapshots", lambda _: Reply(500, b"<html>"), times)


def test_a_refusal_after_a_request_that_may_have_been_heard_is_no_hosts_work(world: World) -> None:
    """A host would copy beside the array."""
    lose_answers(world.sim)
    world.sim.fails.append(Failure("KART30000-E", "The maximum of pairs is reached.", ("2E30", "0065")))
    with pytest.raises(StorageError, match="maximum of pairs") as caught:
        world.begin()
    assert not isinstance(caught.value, CannotCopy)
    assert "may have been heard" in caught.value.hint


def test_a_volume_that_is_in_a_pair_after_a_request_that_may_have_been_heard(world: World) -> None:
    world.lab.copy_seconds = LONG

    def late(_request: Request) -> None:
        """Let the list be older than the LDEV, which is in the pair by now."""
        world.make_ours()
        world.sim.before("GET", "/snapshots", lambda _: Reply(200, {"data": []}))

    world.sim.before("POST", "/snapshots", late)
    lose_answers(world.sim)
    with pytest.raises(StorageError, match="in a pair already") as caught:
        world.begin()
    assert not isinstance(caught.value, CannotCopy)
    (copy,) = world.array.copies_onto(world.target)
    world.array.end_copy(copy)
    assert world.sim.pairs.all == []


def test_a_job_that_says_another_pair_is_no_success(world: World) -> None:
    world.sim.before(
        "POST",
        "/snapshots",
        lambda _: Reply(
            202,
            {
                "jobId": 9,
                "status": "Completed",
                "state": "Succeeded",
                "affectedResources": ["/snapshots/9,3"],
            },
        ),
        times=100,
    )
    with pytest.raises(Unanswered, match="which pair that is"):
        world.begin()


# States


def test_every_state_on_the_way(world: World) -> None:
    world.sim.pairs.first_states = ("COPY", "COPY", "PAIR", "PFUL")
    world.sim.pairs.leaving_looks = 3
    world.lab.copy_seconds = 0.3
    copy = world.begin()
    states = []
    while not (progress := world.array.progress(copy)).complete:
        states.append((world.pair().status, progress.percent))
    statuses = [status for status, _ in states]
    assert list(dict.fromkeys(statuses)) == ["COPY", "PAIR", "PFUL", "PSUP", "SMPP"]
    assert {percent for status, percent in states if status not in {"PSUP", "SMPP"}} == {0}
    percents = [percent for _, percent in states]
    assert percents == sorted(percents)
    assert max(percents) <= 99
    assert world.copied


def test_a_volume_that_can_be_read_already_is_not_complete(world: World) -> None:
    """PSUP, with which the Go populator ends: the source's bytes are still read through the pair."""
    copy = world.begin_long()
    for _ in range(20):
        assert not world.array.progress(copy).complete
    assert world.pair().status == "PSUP"
    assert not world.copied


@pytest.mark.parametrize("state", ["PSUE", "PSUS", "RCPY", "what nobody knows"])
def test_states_that_lead_nowhere(world: World, state: str) -> None:
    copy = world.begin_long()
    world.pair().stuck = state
    with pytest.raises(StorageError, match=f"in the state {state}") as caught:
        world.array.progress(copy)
    assert caught.value.hint
    with pytest.raises(StorageError, match=f"in the state {state}"):
        world.begin()
    world.array.end_copy(copy)
    assert world.sim.pairs.all == []


def test_a_pool_beyond_its_threshold_goes_on(world: World) -> None:
    copy = world.begin_long()
    world.pair().stuck = "PFUS"
    assert world.array.progress(copy) == Progress(0, complete=False)


def test_a_pair_that_is_gone_before_it_was_seen_is_looked_for_once_more(world: World) -> None:
    """A list may lag behind the job that has made the pair, and show none yet."""
    copy = world.begin_long()
    hidden = [0]

    def hide(request: Request) -> Reply | None:
        hidden[0] += 1
        return Reply(200, {"data": []})

    world.sim.before("GET", "/snapshots", hide)
    before = world.clock.waited
    assert not world.array.progress(copy).complete
    assert hidden == [1]
    assert world.clock.waited - before == copies.UNSEEN


def test_a_copy_that_ended_before_it_was_seen_is_complete(world: World) -> None:
    copy = world.begin()
    world.sim.pairs.clear()
    assert world.array.progress(copy).complete
    assert world.copied


def test_a_list_without_the_pair_is_not_believed_alone(world: World) -> None:
    """The LDEV says itself whether it is in one."""
    copy = world.begin_long()
    assert not world.array.progress(copy).complete
    world.sim.before("GET", "/snapshots", lambda _: Reply(200, {"data": []}), times=3)
    for _ in range(3):
        assert world.array.progress(copy) == Progress(99, complete=False)
    assert not world.copied


def test_a_pair_that_somebody_deletes_is_not_taken_for_a_complete_one(world: World) -> None:
    """It disappears in the same way, and the volume has a part of the bytes."""
    world.lab.copy_seconds = 3.0
    copy = world.begin()
    world.clock.wait(10)
    while (percent := world.array.progress(copy).percent) < 5:
        pass
    world.sim.pairs.delete(world.pair())
    with pytest.raises(EndUnclear, match=f"was at {percent} % when it was last seen, and is gone") as caught:
        world.follow(copy)
    assert caught.value.hint
    assert not world.copied
    assert list(world.array.copies_onto(world.target)) == []


def test_pairs_of_another_volume_are_no_answer(world: World) -> None:
    copy = world.begin_long()
    row = {"pvolLdevId": MAPPED, "svolLdevId": 1, "muNumber": 3, "status": "PSUP", "snapshotGroupName": "x"}
    world.sim.before("GET", "/snapshots", lambda _: Reply(200, {"data": [row]}), times=100)
    with pytest.raises(Unanswered, match="answered with"):
        world.array.progress(copy)


# Others' pairs, and other runs


def test_another_copy_onto_the_volume_is_listed_refused_and_left_alone(world: World) -> None:
    world.lab.copy_seconds = LONG
    other = world.add_ldev()
    pair = world.stranger(other, int(world.target.id))
    assert list(world.array.copies_onto(world.target)) == [Copy(pair.id, str(other), world.target.id)]
    with pytest.raises(StorageError, match=f"is cloned of LDEV {other}") as caught:
        world.begin()
    assert not isinstance(caught.value, CannotCopy)
    with pytest.raises(StorageError, match="No run has made the pair"):
        world.array.end_copy(Copy(pair.id, str(other), world.target.id))
    assert world.sim.pairs.all == [pair]
    assert posts(world.sim) == []


def test_a_snapshot_of_the_source_on_the_volume_is_no_copy_of_ours(world: World) -> None:
    pair = world.stranger(MAPPED, int(world.target.id), clone=False, copies=False)
    (listed,) = world.array.copies_onto(world.target)
    for call in (world.begin, lambda: world.array.progress(listed), lambda: world.array.end_copy(listed)):
        with pytest.raises(StorageError, match="is a snapshot of LDEV"):
            call()
    assert world.sim.pairs.all == [pair]


def test_somebody_copies_onto_the_volume_in_the_middle_of_ours(world: World) -> None:
    copy = world.begin_long()
    world.sim.pairs.clear()
    world.stranger(world.add_ldev(), int(world.target.id))
    with pytest.raises(StorageError, match="is cloned of LDEV"):
        world.array.progress(copy)


def test_a_strangers_copy_from_the_same_source_is_left_alone(world: World) -> None:
    world.lab.copy_seconds = LONG
    elsewhere = world.stranger(MAPPED, world.add_ldev())
    snapshot = world.stranger(MAPPED, None, clone=False, copies=False)
    copy = world.begin()
    assert world.array.copies_onto(world.target) == (copy,)
    world.array.end_copy(copy)
    assert world.sim.pairs.all == [elsewhere, snapshot]
    assert elsewhere.transfer is not None
    assert elsewhere.transfer.state == "running"


def test_the_mu_number_of_a_copy_that_is_over_may_be_a_strangers_snapshot(world: World) -> None:
    """It would be deleted by whoever deletes a pair by the number that it had."""
    copy = world.begin_long()

    def change(_request: Request) -> None:
        world.sim.pairs.clear()
        assert world.stranger(MAPPED, None, clone=False, copies=False).id == copy.id

    world.sim.before("DELETE", "/snapshot", change)
    world.array.end_copy(copy)
    assert [pair.group for pair in world.sim.pairs.all] == ["backup"]


def test_two_runs_at_once_have_one_copy(lab: VantaraLab, world: World) -> None:
    world.lab.copy_seconds = 0.3
    first, second = world.begin(), driver(lab).begin_copy(world.source, world.target)
    assert first == second
    world.follow(second)
    assert len(world.sim.pairs.made) == 1


def test_a_copy_is_begun_only_when_the_one_before_is_gone(world: World) -> None:
    """SMPP: that one may have been ended half-way."""
    world.lab.copy_seconds = 0.0
    world.sim.pairs.leaving_looks = 6
    world.begin()
    world.sim.pairs.look()
    assert world.pair().status == "SMPP"
    world.begin()
    assert len(world.sim.pairs.made) == 2


# Ending


@pytest.mark.parametrize("states", [(), ("COPY",) * 50, ("PAIR",) * 50], ids=["PSUP", "COPY", "PAIR"])
def test_ended_in_each_state(world: World, states: tuple[str, ...]) -> None:
    world.sim.pairs.first_states = states
    world.sim.pairs.leaving_looks = 5
    copy = world.begin_long()
    world.array.end_copy(copy)
    assert world.sim.pairs.all == []
    written = world.written
    assert posts(world.sim)[1:] == [
        ("DELETE", f"/snapshot-groups/{names.pair_group(str(MAPPED), world.target.id)}")
    ]
    world.array.end_copy(copy)
    assert len(posts(world.sim)) == 2
    assert world.written == written < SIZE


def test_a_pair_that_is_leaving_is_only_waited_for(world: World) -> None:
    world.sim.pairs.leaving_looks = 4
    copy = world.begin()
    world.sim.pairs.look()
    world.array.end_copy(copy)
    assert world.sim.pairs.all == []
    assert posts(world.sim) == [("POST", "/snapshots")]


def test_a_pair_that_does_not_go_is_told(world: World) -> None:
    world.sim.pairs.leaving_looks = 10**6
    copy = world.begin_long()
    with pytest.raises(StorageError, match="still in a pair"):
        world.array.end_copy(copy)
    assert world.clock.waited >= copies.GONE - 10


def test_a_deletion_that_fails_is_told(world: World) -> None:
    copy = world.begin_long()
    world.sim.fails.append(Failure("KART30000-E", "The pair cannot be deleted now.", ("2E30", "8099")))
    with pytest.raises(Refused, match="cannot be deleted now"):
        world.array.end_copy(copy)
    world.array.end_copy(copy)
    assert world.sim.pairs.all == []


def test_a_copy_that_comes_to_its_end_while_it_is_deleted(world: World) -> None:
    copy = world.begin_long()
    world.sim.before("DELETE", "/snapshot-groups", lambda _: world.sim.pairs.clear())
    world.array.end_copy(copy)
    assert world.sim.pairs.all == []


def test_a_copy_of_which_no_answer_came_is_waited_for_before_it_is_ended(world: World) -> None:
    """The call may still be on its way."""
    world.lab.copy_seconds = LONG
    lose_answers(world.sim, times=100)
    with pytest.raises(StorageError):
        world.begin()
    before = world.clock.waited
    world.array.copies_onto(world.target)
    assert world.clock.waited - before >= copies.SETTLED
    before = world.clock.waited
    world.array.copies_onto(world.target)
    assert world.clock.waited == before


# What the API would do to the source, if it were asked to


def test_the_simulated_restore_is_seen_to_write_to_the_source(lab: VantaraLab, sim: VantaraSimulator) -> None:
    made = World(lab)
    pair = made.stranger(MAPPED, int(made.target.id), clone=False, copies=False)
    sim.pairs.restore(pair)
    assert made.file.bytes_written == SIZE
    assert number_of(made.volume) == int(made.target.id)
