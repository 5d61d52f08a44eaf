"""COPY_HOSTS: which of several hosts copies a disk, how a host that cannot is left, and never two for one disk."""

import signal
from collections.abc import Iterator

import pytest

from tests.lab import world
from tests.lab.arrays import iscsi, lab_of
from tests.lab.arrays.powerflex.lab import PowerFlexLab
from tests.lab.lab import LEASE_NAMESPACE, TARGET_NAMESPACE, Lab, Target
from tests.lab.program import Program
from tests.lab.waiting import wait_until
from tests.story.comparisons import be_slow
from tests.story.test_failures import ENDLESS
from tests.story.test_one_writer import free_slots, take_slots

OWN, SECOND, THIRD = world.host_names(3)
OUTLASTS_ITS_RUN = 25.0
"""seconds of a copy that the next run still finds"""
FAST = {"HOST_LEASE_DURATION_SECONDS": "4"}


@pytest.fixture(scope="module")
def running_lab() -> Iterator[Lab]:
    """A lab with three hosts."""
    with Lab("simulated", hosts=3) as lab:
        yield lab


def run_of(
    lab: Lab, target: Target, hosts: str = "any", pod: str = "populate-a", **environment: str
) -> Program:
    """Return a run that may copy on those hosts, by name where they are named."""
    ids = ",".join(lab.hosts[host].moid if host in lab.hosts else host for host in hosts.split(","))
    return lab.program(target, environment={"COPY_HOSTS": ids, "HOSTNAME": pod, **environment})


def of_another_vm(program: Program, lab: Lab, vm: str, disk: str) -> Program:
    """Return the run for the disk of that VM."""
    program.arguments = [*program.arguments, f"--source-vm-id={lab.vcenter.vms[vm]}", f"--source-vmdk={disk}"]
    return program


def copiers(lab: Lab, target: Target) -> list[str]:
    """Return the hosts that have begun a copy onto a LUN, once for each."""
    return [name for name, host in lab.hosts.items() for _ in range(host.clones_started[target.naa])]


def left_out(program: Program) -> list[str]:
    """Return what the log says of hosts that may not copy."""
    messages = [line["message"] for line in program.lines]
    return [message for message in messages if message.startswith("left out: ")]


# --- which host


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_the_vms_own_host_copies_when_it_is_free(lab: Lab, scope: str) -> None:
    target = lab.add_target()
    with run_of(lab, target, HOST_LEASE_SCOPE=scope) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [OWN]
    assert lab.copied(target)
    assert lab.leftovers(target) == []


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_another_one_does_while_the_own_host_is_busy(lab: Lab, scope: str) -> None:
    target = lab.add_target()
    take_slots(lab)
    with run_of(lab, target, f"{OWN},{THIRD}", HOST_LEASE_SCOPE=scope) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [THIRD]
    assert program.controller
    assert f'host_info{{owner_uid="{target.uid}",host="{THIRD}"}}' in program.controller.page
    assert not lab.hosts[OWN].history, "the LUN was never mapped to it"
    assert lab.copied(target)
    assert [left for left in lab.leftovers(target) if "other-" not in left] == []


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_of_hosts_that_are_all_busy_the_first_that_is_free_copies(lab: Lab, scope: str) -> None:
    target = lab.add_target()
    slots = {host: take_slots(lab, host) for host in (OWN, SECOND, THIRD)}
    with run_of(lab, target, HOST_LEASE_SCOPE=scope) as program:
        program.wait_for_phase("wait for a slot of the host")
        assert not lab.san.mappings(target.naa)
        free_slots(lab, slots[SECOND])
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [SECOND]
    assert lab.copied(target)


def test_in_scope_rescan_the_copy_itself_holds_no_slot(lab: Lab) -> None:
    target = lab.add_target()
    take_slots(lab)
    for host in lab.hosts.values():
        host.copy_seconds = ENDLESS
    with run_of(lab, target, f"{OWN},{SECOND}", HOST_LEASE_SCOPE="rescan") as program:
        program.wait_for(lambda line: line["message"] == "copy started")
        holders = lab.kube.lease_holders(LEASE_NAMESPACE).values()
        assert [holder for holder in holders if holder.startswith("populate-a")] == []


def test_a_migration_host_counts_more(lab: Lab) -> None:
    target = lab.add_target()
    program = run_of(lab, target)
    program.arguments = [*program.arguments, f"--migration-host={lab.hosts[THIRD].moid}"]
    with program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [THIRD]
    assert any("does not count beside --migration-host" in line["message"] for line in program.lines)


# --- hosts that may not


def test_hosts_that_cannot_are_left_out_with_the_reason(lab: Lab) -> None:
    target = lab.add_target()
    lab.vcenter.set_host(OWN, in_maintenance_mode=True)
    lab.vcenter.set_host(SECOND, connection_state="disconnected")
    with run_of(lab, target) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [THIRD]
    own, second = (f"{host} ({lab.hosts[host].moid})" for host in (OWN, SECOND))
    assert sorted(left_out(program)) == [
        f"left out: {own}: it is in maintenance mode",
        f"left out: {second}: vCenter says it is disconnected",
    ]


def test_a_host_without_the_datastore_is_left_out(lab: Lab) -> None:
    target = lab.add_target()
    run = run_of(lab, target, f"{OWN},{SECOND}")
    with of_another_vm(run, lab, world.LOCAL_VM, world.LOCAL_DISK) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [OWN]
    reason = "it does not have datastore 'local' mounted"
    assert left_out(program) == [f"left out: {SECOND} ({lab.hosts[SECOND].moid}): {reason}"]


def test_the_disk_of_a_running_vm_is_left_to_its_own_host(lab: Lab) -> None:
    target = lab.add_target()
    with of_another_vm(run_of(lab, target), lab, world.FC_VM, world.FC_DISK) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [world.OTHER_HOST]
    assert len(left_out(program)) == 2
    assert all("its own host has its disks open" in line for line in left_out(program))


def test_where_no_host_may_copy_all_reasons_are_given(lab: Lab) -> None:
    target = lab.add_target()
    lab.vcenter.set_host(SECOND, in_maintenance_mode=True)
    lab.vcenter.set_host(THIRD, connection_state="notResponding")
    with run_of(lab, target, f"{SECOND},{THIRD}") as program:
        assert program.wait() == 5, program.text()
    text = program.message["text"]
    assert text.startswith(f"No host may copy {world.PLAIN_DISK!r}: ")
    assert "it is in maintenance mode; " in text
    assert text.endswith("vCenter says it is notResponding.")
    assert not lab.san.mappings(target.naa)


def test_an_id_that_is_not_there_is_refused(lab: Lab) -> None:
    target = lab.add_target()
    with run_of(lab, target, f"{OWN},host-9999") as program:
        assert program.wait() == 5, program.text()
    assert program.message["text"] == "There is no ESXi host host-9999 in vCenter."
    assert "COPY_HOSTS" in program.message["hint"]


# --- hosts that turn out to be unable


def test_a_host_without_a_wrapper_is_left_for_another_one(lab: Lab) -> None:
    target = lab.add_target()
    lab.hosts[OWN].plugin_installed = False
    with run_of(lab, target, f"{OWN},{SECOND}") as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [SECOND]
    (reason,) = program.message["hostsLeft"]
    assert OWN in reason
    assert lab.leftovers(target) == []


def test_a_host_that_does_not_let_us_in_is_left_for_another_one(lab: Lab) -> None:
    target = lab.add_target()
    environment = {name: value or "" for name, value in lab.start_ssh().items()}
    lab.hosts[OWN].ssh.authorize("")
    with run_of(lab, target, f"{OWN},{SECOND}", **environment) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) == [SECOND]
    (reason,) = program.message["hostsLeft"]
    assert OWN in reason


@pytest.mark.long
def test_a_host_that_never_shows_the_device_is_left_as_found_once(lab: Lab) -> None:
    target = lab.add_target()
    lab.hosts[OWN].stack.max_lun = 0
    with run_of(lab, target) as program:
        assert program.wait() == 0, program.text()
    assert copiers(lab, target) in ([SECOND], [THIRD])
    (reason,) = program.message["hostsLeft"]
    assert f"did not appear on host {OWN}" in reason
    undone = program.lines.index(next(line for line in program.lines if line["message"] == "undo"))
    left = next(line for line in program.lines if line["message"].startswith("another host is to copy: "))
    assert undone < program.lines.index(left)
    assert lab.copied(target)
    assert lab.leftovers(target) == []


@pytest.mark.long
def test_where_a_second_host_does_not_show_it_either_a_third_is_not_shaken(lab: Lab) -> None:
    target = lab.add_target()
    for host in lab.hosts.values():
        host.stack.max_lun = 0
    with run_of(lab, target) as program:
        assert program.wait() == 5, program.text()
    assert "did not appear on host" in program.message["text"]
    assert len(program.message["hostsLeft"]) == 1
    shaken = [host for host in lab.hosts.values() if host.history]
    assert len(shaken) == 2
    assert lab.leftovers(target) == []


def test_a_host_that_the_array_does_not_know_is_left_for_another_one(lab: Lab) -> None:
    del lab
    with Lab("simulated", array="powerflex", hosts=2) as flex:
        target = flex.add_target()
        sdcs = lab_of(PowerFlexLab, flex.array).simulator.sdcs
        own = next(key for key, sdc in sdcs.items() if sdc.name == OWN)
        del sdcs[own]
        with run_of(flex, target) as program:
            assert program.wait() == 0, program.text()
        assert copiers(flex, target) == [SECOND]
        (reason,) = program.message["hostsLeft"]
        assert "has no SDC on ESXi with the GUID" in reason
        assert flex.copied(target)


# --- never two hosts for one disk


def killed_on_another(lab: Lab, target: Target, seconds: float = ENDLESS) -> list[str]:
    """Let a run that copies on the second host be killed; return the slots of the first, which are still taken."""
    slots = take_slots(lab)
    lab.hosts[SECOND].copy_seconds = seconds
    with run_of(lab, target, f"{OWN},{SECOND}", **FAST) as dead:
        dead.wait_for(lambda line: line["message"] == "copy started")
    assert dead.code == -signal.SIGKILL
    assert copiers(lab, target) == [SECOND]
    return slots


def let_all_see(lab: Lab, target: Target) -> None:
    """Map the LUN to a group of an administrator's that has all hosts."""
    names = [one.port for host in lab.hosts.values() for one in host.adapters if one.kind == "iscsi"]
    lab.array.add_map(target.volume, lab.array.add_group("whole-cluster", [iscsi(name) for name in names]))


@pytest.mark.parametrize("seen_by_all", [False, True])
def test_the_copy_of_a_run_that_was_killed_is_found_on_the_host_where_it_runs(
    lab: Lab, seen_by_all: bool
) -> None:
    """Though the VM's own host has come free meanwhile; also where no mapping of ours tells which host it is."""
    target = lab.add_target()
    if seen_by_all:
        let_all_see(lab, target)
    free_slots(lab, killed_on_another(lab, target, OUTLASTS_ITS_RUN))
    with run_of(lab, target, pod="populate-b", **FAST) as heir:
        heir.wait_for(lambda line: "this copy runs already" in line["message"])
        assert heir.wait() == 0, heir.text()
    assert copiers(lab, target) == [SECOND]
    assert lab.copied(target)


@pytest.mark.parametrize(
    ("seen_by_all", "says"), [(False, "by an earlier run on another host"), (True, "has used LUN")]
)
def test_it_is_respected_by_a_run_that_may_not_copy_there(lab: Lab, seen_by_all: bool, says: str) -> None:
    target = lab.add_target()
    if seen_by_all:
        let_all_see(lab, target)
    free_slots(lab, killed_on_another(lab, target))
    with run_of(lab, target, f"{OWN},{THIRD}", pod="populate-b", **FAST) as other:
        assert other.wait() == 4, other.text()
    assert says in other.message["text"]
    assert lab.hosts[SECOND].moid in other.message["hint"]
    assert copiers(lab, target) == [SECOND]
    assert lab.hosts[SECOND].running_copies


@pytest.mark.parametrize("seen_by_all", [False, True])
def test_what_an_ended_one_has_left_on_another_host_is_taken_away_first(lab: Lab, seen_by_all: bool) -> None:
    target = lab.add_target()
    if seen_by_all:
        let_all_see(lab, target)
    state = lab.array.state()
    free_slots(lab, killed_on_another(lab, target, seconds=1.0))
    wait_until(lambda: not lab.hosts[SECOND].running_copies)
    with run_of(lab, target, "vm", pod="populate-b", **FAST) as other:
        assert other.wait() == 0, other.text()
    assert sorted(copiers(lab, target)) == [OWN, SECOND]
    assert lab.copied(target)
    assert lab.array.state() == state
    left = [each for each in lab.leftovers(target) if " is held by " not in each]
    assert (
        all("whole-cluster" in each or "has device" in each for each in left) if seen_by_all else left == []
    )


def test_what_one_that_was_killed_compares_on_another_host_is_ended_first(lab: Lab) -> None:
    target = lab.add_target()
    slots = take_slots(lab)
    be_slow(lab.hosts[SECOND])
    with run_of(lab, target, f"{OWN},{SECOND}", **FAST) as dead:
        wait_until(lambda: lab.hosts[SECOND].readers(target.naa), 60)
    assert dead.code == -signal.SIGKILL
    free_slots(lab, slots)
    with run_of(lab, target, "vm", pod="populate-b", **FAST) as other:
        assert other.wait() == 0, other.text()
    assert sorted(copiers(lab, target)) == [OWN, SECOND]
    assert lab.copied(target)
    assert [each for each in lab.leftovers(target) if " is held by " not in each] == []


def test_a_datastore_on_another_host_is_not_taken_away(lab: Lab) -> None:
    target = lab.add_target()
    free_slots(lab, killed_on_another(lab, target, seconds=1.0))
    wait_until(lambda: not lab.hosts[SECOND].running_copies)
    lab.hosts[SECOND].extents[target.naa] = "ds of others"
    with run_of(lab, target, "vm", pod="populate-b", **FAST) as other:
        assert other.wait() == 5, other.text()
    assert "datastore ds of others" in other.message["text"]
    assert lab.hosts[SECOND].device_status(target.naa) == "on"
    assert lab.san.mappings(target.naa)
    assert copiers(lab, target) == [SECOND]


def test_two_runs_at_once_for_one_disk_copy_it_once(lab: Lab) -> None:
    target = lab.add_target()
    for host in lab.hosts.values():
        host.copy_seconds = 2.0
    with run_of(lab, target, pod="populate-a") as a, run_of(lab, target, SECOND, pod="populate-b") as b:
        assert sorted([a.wait(), b.wait()]) == [0, 3], a.text() + b.text()
    assert len(copiers(lab, target)) == 1


# --- told to stop


@pytest.mark.parametrize("scope", ["copy", "rescan"])
def test_sigterm_while_it_waits_for_several(lab: Lab, scope: str) -> None:
    target = lab.add_target()
    for host in (OWN, SECOND, THIRD):
        take_slots(lab, host)
    with run_of(lab, target, HOST_LEASE_SCOPE=scope) as program:
        program.wait_for_phase("wait for a slot of the host")
        program.signal(signal.SIGTERM)
        assert program.wait(30) == 9, program.text()
    assert program.message["phase"] == "wait for a slot of the host"
    assert not lab.san.mappings(target.naa)
    assert not any(host.history for host in lab.hosts.values())
    holders = [
        *lab.kube.lease_holders(LEASE_NAMESPACE).values(),
        *lab.kube.lease_holders(TARGET_NAMESPACE).values(),
    ]
    assert [holder for holder in holders if "other-" not in holder] == []
