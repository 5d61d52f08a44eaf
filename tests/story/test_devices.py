"""The target's device: nobody else writes to it, it is no datastore, and no path of it dies while it is on."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.lab import world
from tests.lab.esxi.wire import Done, Result, Rows, failed, not_found
from tests.lab.faults import Call
from tests.lab.lab import Lab, Target
from tests.lab.program import Program
from tests.story.test_failures import ENDLESS, LONG, never_success
from tests.story.test_scope_rescan import occupy, others_apart, slot

pytestmark = pytest.mark.any_kube
GRACE = 30.0
"""seconds from SIGTERM to the kubelet's SIGKILL"""
TEARDOWN = ["detach the device", "restore the mapping", "remove the dead paths"]
WORLD_LIST, DEVICE_LIST = "storage core device world list", "storage core device list"


def out_of_resources() -> Result:
    raise failed("Out of resources")


def unknown_command() -> Result:
    raise not_found()


def left_as_it_is(lab: Lab, target: Target, program: Program) -> None:
    """Device and mapping are where a copy that may be running needs them, and nothing was called a success."""
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.harm == lab.host.unclean == []
    never_success(program)


# Who else writes


def test_a_second_writer_seen_after_the_copy_is_no_success(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target, scrape_interval=0.2) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.openers[target.naa] = ("vmkfstools",)
        assert program.wait() == 8, program.text()
    assert program.message["reason"] == "CopyMayBeRunning"
    assert "vmkfstools has it open" in program.message["text"]
    assert program.message["left"] == TEARDOWN
    left_as_it_is(lab, target, program)


def lingering(lab: Lab, target: Target, looks: int) -> Callable[[], Result]:
    """Return a list of worlds in which somebody has the device open at the first looks, and nobody later."""
    left = iter(range(looks))

    def worlds() -> Result:
        if next(left, None) is None:
            return Rows("WorldDevices", [])
        return Rows("WorldDevices", [{"Device": target.naa, "WorldID": "1", "WorldName": "vmkfstools"}])

    return worlds


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.wrappers("0.3.3")
def test_a_device_may_stay_open_for_a_moment_after_the_copy(lab: Lab, stop: bool) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 3.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.instead[WORLD_LIST] = lingering(lab, target, 4)
        if stop:
            program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert stop or program.status.progress == 100


@pytest.mark.wrappers("0.3.3")
def test_told_to_stop_it_waits_for_an_idle_device_within_its_time(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 3.0
    with lab.program(target, scrape_interval=0.2) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.openers[target.naa] = ("vmkfstools",)
        program.signal(signal.SIGTERM)
        told = time.monotonic()
        assert program.wait(GRACE) == 8, program.text()
        assert time.monotonic() - told < 28
    left_as_it_is(lab, target, program)


def test_a_second_writer_that_comes_after_the_copy_was_seen_complete_is_none_either(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 1.0

    def another_one(line: dict[str, object]) -> None:
        if line["message"] == "undo":
            lab.host.openers[target.naa] = ("vmkfstools",)

    program = lab.program(target)
    program.on_line = another_one
    lab.host.instead["storage core device set"] = lambda: busy(lab, target)
    with program:
        assert program.wait() == 8, program.text()
    assert program.message["left"] == TEARDOWN[1:]
    assert lab.host.device_status(target.naa) == "on"
    assert lab.host.unclean == []


def busy(lab: Lab, target: Target) -> Result:
    """Refuse to detach, by now since somebody has the device open."""
    deadline = time.monotonic() + 10
    while not lab.host.openers.get(target.naa):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    raise failed("Unable to set device's state: Busy")


@pytest.mark.wrappers("0.3.3")
def test_a_copy_of_a_dead_run_is_seen_through_anybodys_mapping(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "admins-group")
    lab.host.copy_seconds = ENDLESS
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "4"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    assert dead.code == -9
    with lab.program(target) as program:
        assert program.wait() == 8, program.text()
    assert "vmkfstools has it open" in program.message["text"]
    assert lab.host.clones_started[target.naa] == 1
    assert lab.host.running_copies == [target.naa]
    left_as_it_is(lab, target, program)


@pytest.mark.wrappers("busybox")
def test_a_copy_of_a_dead_run_is_adopted_through_anybodys_mapping(lab: Lab) -> None:
    target = lab.add_target()
    lab.map_to_host(target, "admins-group")
    lab.host.copy_seconds = LONG
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "4"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    with lab.program(target) as program:
        assert program.wait() == 0, program.text()
    assert lab.host.clones_started[target.naa] == 1
    assert lab.copied(target)
    assert lab.host.device_status(target.naa) == "on", "the admin's mapping and device stay"


def test_a_device_that_is_in_use_as_soon_as_it_appears_is_not_copied_onto(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.openers[target.naa] = ("vmkfstools",)
    with lab.program(target, scrape_interval=0.2) as program:
        assert program.wait() == 8, program.text()
    assert lab.host.clones_started[target.naa] == 0
    assert program.message["left"] == TEARDOWN
    left_as_it_is(lab, target, program)


# What the host does not say


@pytest.mark.parametrize("answer", [out_of_resources, unknown_command, Done, lambda: Rows("Odd", [{}])])
@pytest.mark.parametrize("command", [WORLD_LIST, DEVICE_LIST])
def test_what_the_host_does_not_say_after_the_copy_is_not_taken_for_good(
    lab: Lab, command: str, answer: Callable[[], Result]
) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target, scrape_interval=0.2) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.instead[command] = answer
        assert program.wait() == 8, program.text()
    assert "not known" in program.message["text"]
    assert program.message["left"] == TEARDOWN
    left_as_it_is(lab, target, program)


@pytest.mark.parametrize("command", [WORLD_LIST, DEVICE_LIST])
@pytest.mark.wrappers("0.3.3")
def test_no_second_copy_is_begun_because_the_host_does_not_say_who_writes(lab: Lab, command: str) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment={"HOST_LEASE_DURATION_SECONDS": "4"}) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    lab.host.instead[command] = out_of_resources
    with lab.program(target, scrape_interval=0.2) as program:
        assert program.wait() == 5, program.text()
    assert "Out of resources" in program.message["text"]
    assert lab.host.clones_started[target.naa] == 1
    assert lab.host.running_copies == [target.naa]
    left_as_it_is(lab, target, program)


def test_a_fault_that_passes_costs_nothing(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        for command in (WORLD_LIST, DEVICE_LIST):
            lab.host.instead[command] = once(lab, command)
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []


def once(lab: Lab, command: str) -> Callable[[], Result]:
    def answer() -> Result:
        del lab.host.instead[command]
        return out_of_resources()

    return answer


# What is no volume


def refused(lab: Lab, target: Target, *words: str) -> Program:
    with lab.program(target, scrape_interval=0.2) as program:
        assert program.wait() == 5, program.text()
    assert [word for word in words if word not in program.message["text"]] == []
    assert lab.host.clones_started[target.naa] == 0
    assert "left" not in program.message
    assert lab.leftovers(target) == []
    never_success(program)
    return program


@pytest.mark.parametrize("visible", [False, True])
def test_a_datastore_of_the_host_is_not_overwritten(lab: Lab, visible: bool) -> None:
    target = lab.add_target()
    lab.host.extents[target.naa] = "ds three"
    if visible:
        lab.map_to_host(target, "datastores")
        with lab.program(target) as program:
            assert program.wait() == 5, program.text()
        assert lab.host.device_status(target.naa) == "on"
    else:
        program = refused(lab, target, "ds three", lab.host.name)
    assert lab.host.history == []
    assert "map the LUN" not in program.phases


@pytest.mark.parametrize(("serial", "datastore"), [("800D79-sour`", "ds one"), ("800D79-sourb", "ds [two]")])
def test_a_datastore_of_any_host_of_the_vcenter_is_not_overwritten(
    lab: Lab, serial: str, datastore: str
) -> None:
    target = lab.add_target(serial=serial)
    assert target.naa in {world.ISCSI_LUN, world.TWO_LUN}
    lab.host.extents.clear()
    program = refused(lab, target, f"datastore {datastore} lies on it")
    assert lab.host.history == []
    assert "map the LUN" not in program.phases


@pytest.mark.parametrize(("kind", "words"), [("fb", "a VMFS partition"), ("fc", "core dumps")])
def test_what_shows_itself_on_the_device_alone_is_not_overwritten_either(
    lab: Lab, kind: str, words: str
) -> None:
    target = lab.add_target()
    lab.host.partitions[target.naa] = (kind,)
    refused(lab, target, words)


def test_a_datastore_that_shows_itself_when_the_host_has_found_the_device_is_not_overwritten(
    lab: Lab,
) -> None:
    target = lab.add_target()
    lab.host.rescan_seconds = 1.0
    with lab.program(target) as program:
        program.wait_for_phase("discover the device")
        lab.host.extents[target.naa] = "ds three"
        assert program.wait() == 5, program.text()
    assert "ds three" in program.message["text"]
    assert lab.host.clones_started[target.naa] == 0
    assert lab.leftovers(target) == []


# Putting things back


def waiting(line: dict[str, object]) -> bool:
    return str(line["message"]).startswith("Waiting for the host lease")


@pytest.mark.parametrize("free", [True, False])
def test_a_device_that_appeared_while_we_waited_for_a_slot_is_detached_before_it_is_unmapped(
    lab: Lab, free: bool
) -> None:
    target = lab.add_target()
    for number in range(2):
        occupy(lab, number)
    with lab.program(target) as program:
        program.wait_for(waiting)
        lab.host.stack.add(lab.host.adapters)  # as the rescan of a slot's holder would
        program.signal(signal.SIGTERM)
        told = time.monotonic()
        if free:
            lab.kube.admin.change(slot(lab, 0), lambda lease: lease["spec"].update(holderIdentity=""))
        assert program.wait(GRACE) == 9, program.text()
        assert time.monotonic() - told < 28
    assert not {"undoFailures", "left"} & set(program.message)
    assert others_apart(lab, target) == []
    steps = [operation.name for operation in lab.host.history]
    assert steps == ["detach", "detached remove", "rescan delete"]
    without = [line for line in program.lines if "going on without it" in str(line["message"])]
    assert len(without) == (0 if free else 2)


def test_a_device_that_appears_in_the_moment_of_the_unmapping_is_forgotten(lab: Lab) -> None:
    target = lab.add_target()
    for number in range(2):
        occupy(lab, number)

    def rescan_of_another(call: Call) -> None:
        if call.service == "array" and call.label.startswith("DELETE"):
            lab.host.stack.add(lab.host.adapters)

    with lab.program(target) as program:
        program.wait_for(waiting)
        lab.ledger.reset(rescan_of_another)
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert not {"undoFailures", "left"} & set(program.message)
    assert [left for left in others_apart(lab, target) if "was pulled while on" not in left] == []
    assert [operation.name for operation in lab.host.history] == ["rescan delete"]


def test_what_may_be_on_stays_mapped(lab: Lab) -> None:
    target = lab.add_target()
    for number in range(2):
        occupy(lab, number)
    with lab.program(target) as program:
        program.wait_for(waiting)
        lab.host.stack.add(lab.host.adapters)
        lab.host.instead[DEVICE_LIST] = out_of_resources
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert program.message["left"] == TEARDOWN[1:]
    assert program.message["undoFailures"][0].startswith("detach the device: ")
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.unclean == []


@pytest.mark.long
def test_a_right_that_is_lost_while_we_wait_for_a_slot_ends_the_same(lab: Lab) -> None:
    target = lab.add_target()
    for number in range(2):
        occupy(lab, number)
    with lab.program(target) as program:
        program.wait_for(waiting)
        lab.host.stack.add(lab.host.adapters)
        lab.ledger.reset(lambda call: "401" if call.service == "kubernetes" else None)
        lab.kube.admin.change(slot(lab, 0), lambda lease: lease["spec"].update(holderIdentity=""))
        assert program.wait() == 6, program.text()
    lab.ledger.reset()
    assert not {"undoFailures", "left"} & set(program.message)
    # The writer's place could not be given back, either: it expires.
    assert [left for left in others_apart(lab, target) if not left.startswith("xcopy-volume-")] == []


@pytest.mark.long
def test_a_plan_of_twenty_disks_cancelled_at_once_leaves_nothing_on_the_host(lab: Lab) -> None:
    lab.host.rescan_seconds = 0.5
    lab.host.forget_seconds = 1.0
    lab.host.copy_seconds = 120.0
    targets = [lab.add_target() for _ in range(20)]
    programs = [lab.program(target, environment={"HOSTNAME": f"pod-{n}"}) for n, target in enumerate(targets)]
    for program in programs:
        program.__enter__()
    try:
        deadline = time.monotonic() + 120
        while sum(any(map(waiting, program.lines)) for program in programs) < 18:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while len(lab.host.running_copies) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lab.host.stack.add(lab.host.adapters)
        begun = len(lab.host.history)
        for program in programs:
            program.signal(signal.SIGTERM)
        told = time.monotonic()
        for program in programs:
            assert program.wait(GRACE) == 9, program.text()
        assert time.monotonic() - told < 28
    finally:
        for program in programs:
            program.__exit__(None, None, None)
    for target, program in zip(targets, programs, strict=True):
        assert lab.leftovers(target) == []
        assert not {"undoFailures", "left"} & set(program.message)
    steps = [one for one in lab.host.history if one.end is None or one.end > told - 1]
    assert len(lab.host.history) > begun
    without = sum("going on without it" in program.text() for program in programs)  # on a busy machine
    for step in lab.host.history[begun:]:
        together = [one for one in steps if one.start <= step.start < (one.end or step.start + 1)]
        assert len(together) <= 2 + without, together


def test_a_device_that_cannot_be_detached_keeps_its_mapping(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.instead["storage core device set"] = out_of_resources
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert program.message["left"] == TEARDOWN[1:]
    assert "Out of resources" in program.message["undoFailures"][0]
    said = [line["message"] for line in program.lines if "NOT done" in line["message"]]
    assert len(said) == 2
    assert "detach the device" in said[0]
    assert lab.host.device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert lab.host.unclean == []


@pytest.mark.long
def test_a_mapping_that_cannot_be_removed_is_told_and_its_device_stays_off(lab: Lab) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.ledger.reset(
            lambda call: "5xx" if call.service == "array" and call.label.startswith("DELETE") else None
        )
        assert program.wait(180) == 0, program.text()
    lab.ledger.reset()
    failures = program.message["undoFailures"]
    assert [failure.partition(":")[0] for failure in failures] == [
        "restore the mapping",
        "remove the dead paths",
    ]
    assert lab.host.device_status(target.naa) == "off"
    assert lab.san.mappings(target.naa)
    assert lab.host.unclean == []


@pytest.mark.parametrize(
    ("command", "stays"),
    [
        ("storage core adapter rescan", "has device"),
        ("storage core device detached remove", "lists"),
    ],
)
def test_what_the_host_does_not_forget_is_told(lab: Lab, command: str, stays: str) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target) as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        lab.host.instead[command] = out_of_resources
        assert program.wait() == 0, program.text()
    (failure,) = program.message["undoFailures"]
    assert failure.startswith("remove the dead paths: ")
    assert [left for left in lab.leftovers(target) if stays not in left] == []
    assert not lab.san.mappings(target.naa)
