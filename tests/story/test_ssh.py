"""ESXI_CLONE_METHOD=ssh from end to end: the real program, a real sshd, our script from the datastore."""

import base64
import signal
from pathlib import Path

import pytest

from tests.lab import world
from tests.lab.esxi.sshd import make_key
from tests.lab.lab import Lab
from tests.lab.program import Program
from tests.lab.waiting import wait_until
from vsphere.host.ssh_keys import public_key
from vsphere.paths import parse_vmdk
from vsphere.wrapper import key_line
from vsphere.wrapper.files import SCRIPT, VERSION

pytestmark = pytest.mark.any_kube
GRACE = 30.0
"""seconds from SIGTERM to the kubelet's SIGKILL"""


@pytest.fixture
def ssh(lab: Lab) -> dict[str, str | None]:
    return lab.start_ssh()


def script_on(lab: Lab, datastore: str = "ds one") -> Path:
    return lab.datastores / datastore / key_line.SCRIPT


def key_of(ssh: dict[str, str | None]) -> str:
    return base64.b64decode(ssh["SSH_PRIVATE_KEY"] or "").decode()


def uploads(lab: Lab) -> list[str]:
    return [call.label for call in lab.ledger.of("vcenter") if call.label.startswith("PUT /folder/")]


def fails(program: Program) -> str:
    """Return text and hint of a run that must fail on the vSphere side."""
    assert program.wait() == 5, program.text()
    return f"{program.message['text']} {program.message['hint']}"


def test_one_disk_over_one_connection(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    with lab.program(target, environment=ssh) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert script_on(lab).read_bytes() == SCRIPT
    assert lab.host.ssh.handshakes == 1
    assert not [call for call in lab.host.calls if call.command.startswith("vmkfstools")]
    assert program.status.clone_method == "ssh"
    assert program.status.vib_version is None
    assert program.status.xcopy_used == 1
    assert "trusting the SSH key" in program.text()


@pytest.mark.long
def test_the_script_is_uploaded_only_where_it_differs(lab: Lab, ssh: dict[str, str | None]) -> None:
    for wanted in (1, 1, 2):
        target = lab.add_target()
        if wanted == 2:
            script_on(lab).write_bytes(SCRIPT.replace(VERSION.encode(), b"0.3.3"))
        with lab.program(target, environment=ssh) as program:
            assert program.wait() == 0, program.text()
        assert len(uploads(lab)) == wanted
        assert script_on(lab).read_bytes() == SCRIPT
        assert lab.leftovers(target) == []


def test_two_at_once_upload_without_harm(lab: Lab, ssh: dict[str, str | None]) -> None:
    targets = [lab.add_target(), lab.add_target()]
    with (
        lab.program(targets[0], environment=ssh) as one,
        lab.program(targets[1], environment=ssh, disk=world.DATA_DISK) as other,
    ):
        assert (one.wait(), other.wait()) == (0, 0), one.text() + other.text()
    assert lab.copied(targets[0])
    assert lab.copied(targets[1], world.DATA_DISK)
    assert lab.leftovers(targets[0]) + lab.leftovers(targets[1]) == []
    assert script_on(lab).read_bytes() == SCRIPT


@pytest.mark.parametrize("removable", [True, False])
def test_what_a_killed_run_has_half_uploaded_is_removed_by_the_next(
    lab: Lab, ssh: dict[str, str | None], removable: bool
) -> None:
    target, environment = lab.add_target(), {**ssh, "HOST_LEASE_DURATION_SECONDS": "3"}
    lab.ledger.reset(lambda call: "pause 3" if call.label.startswith("PUT /folder/") else None)
    with lab.program(target, environment=environment) as program:
        wait_until(lambda: uploads(lab), 60)
        program.signal(signal.SIGKILL)
        program.wait()
    kept = "DeleteDatastoreFile_Task" if not removable else "none"
    lab.ledger.reset(lambda call: "refused" if call.label.startswith(kept) else None)
    wait_until(lambda: list(script_on(lab).parent.glob(f"{key_line.SCRIPT}.*")), 60)
    with lab.program(target, environment=environment) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert len(lab.leftovers(target)) == (0 if removable else 1)
    assert ("is not removed" in program.text()) is not removable


@pytest.mark.parametrize("disk", [*world.ODD_DISKS, world.QUOTE_DISK])
def test_disks_with_odd_names_are_copied(lab: Lab, ssh: dict[str, str | None], disk: str) -> None:
    # The simulated vCenter's file manager knows no brackets in names, so nothing may be uploaded to such a datastore.
    script_on(lab, parse_vmdk(disk).datastore).write_bytes(SCRIPT)
    vm = world.QUOTE_VM if disk == world.QUOTE_DISK else world.ODD_VM
    target = lab.add_target()
    with lab.program(target, environment=ssh, disk=disk, vm=vm) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target, disk)
    assert lab.leftovers(target) == []


def test_a_connection_lost_in_mid_copy_is_made_again(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 4.0
    with lab.program(target, environment=ssh) as program:
        program.wait_for(lambda line: "copy started" in line["message"])
        lab.host.ssh.drop()
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert lab.host.ssh.handshakes == 2
    assert lab.host.clones_started[target.naa] == 1


def test_a_host_without_ssh_for_a_while_does_not_end_a_copy(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 2.0
    with lab.program(target, environment=ssh) as program:
        program.wait_for(lambda line: "copy started" in line["message"])
        lab.host.ssh.refuse()
        lab.host.ssh.drop()
        program.wait_for(lambda line: "refuses SSH connections" in line["message"])
        lab.host.ssh.accept()
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []


def test_a_start_whose_answer_is_lost_is_found_again(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 3.0
    lab.host.ssh.break_command("after", "--clone")
    with lab.program(target, environment=ssh) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert lab.host.clones_started[target.naa] == 1


def test_sigterm_ends_the_copy(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment=ssh) as program:
        program.wait_for(lambda line: "copy started" in line["message"])
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert lab.host.running_copies == []
    assert lab.leftovers(target) == []


def test_sigterm_while_the_host_says_nothing_ends_at_once(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.ssh.hanging = True
    with lab.program(target, environment=ssh) as program:
        program.wait_for_phase("find the disk")
        while lab.host.ssh.accepted == 0:
            assert program.code is None
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 9, program.text()
    assert lab.leftovers(target) == []


def test_the_time_out_is_kept_to(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.ssh.hanging = True
    with lab.program(target, environment=ssh | {"SSH_TIMEOUT_SECONDS": "1"}) as program:
        program.wait_for(lambda line: "did not answer over SSH within 1 s" in line["message"])
        lab.host.ssh.hanging = False  # a host that was away for a moment is asked again
        assert program.wait() == 0, program.text()
    assert lab.leftovers(target) == []


def test_another_host_key_than_the_expected_one_ends_it(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    known = f"{lab.host.name} {lab.host.ssh.host_key}"
    with lab.program(target, environment=ssh | {"SSH_KNOWN_HOSTS": known}) as program:
        assert program.wait() == 0, program.text()
        assert "trusting the SSH key" not in program.text()
    lab.host.ssh.change_host_key()
    target, before = lab.add_target(), len(lab.host.ssh.commands)
    with lab.program(target, environment=ssh | {"SSH_KNOWN_HOSTS": known}) as program:
        assert "shows an SSH key that is not the expected one" in fails(program)
    assert len(lab.host.ssh.commands) == before
    assert lab.leftovers(target) == []


def test_a_host_key_that_changes_in_mid_copy_is_not_talked_to(lab: Lab, ssh: dict[str, str | None]) -> None:
    target = lab.add_target()
    lab.host.copy_seconds = 60.0
    with lab.program(target, environment=ssh) as program:
        program.wait_for(lambda line: "copy started" in line["message"])
        lab.host.ssh.change_host_key()
        lab.host.ssh.drop()
        program.wait_for(lambda line: "another SSH key" in line["message"])
        before = len(lab.host.ssh.commands)
        program.signal(signal.SIGTERM)
        assert program.wait(GRACE) == 8, (
            program.text()
        )  # the copy may be running: nothing is pulled from under it
    assert len(lab.host.ssh.commands) == before
    assert lab.host.running_copies == [target.naa]
    assert lab.host.harm == []


def test_a_host_that_does_not_know_the_key_gets_the_line(
    lab: Lab, ssh: dict[str, str | None], tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other", "-t", "rsa", "-b", "2048", "-m", "PEM").read_text()
    given = ssh | {"SSH_PRIVATE_KEY": base64.b64encode(other.encode()).decode()}
    target = lab.add_target()
    with lab.program(target, environment=given) as program:
        assert key_line.compatible(public_key(other)) in fails(program)
    assert uploads(lab) == []
    assert lab.leftovers(target) == []
    assert "PRIVATE" not in program.text()
    assert other.splitlines()[3] not in program.text()


NOT_SET_UP = {
    "a shell": "{key}",
    "another command": 'command="echo SSH_OKAY" {key}',
    "nothing": 'command="true" {key}',
    "words beside it": 'command="echo SSH_OK; echo warning >&2" {key}',
}


@pytest.mark.parametrize("what", NOT_SET_UP)
def test_a_host_that_is_not_set_up_gets_the_line(lab: Lab, ssh: dict[str, str | None], what: str) -> None:
    key = public_key(key_of(ssh))
    lab.authorize(NOT_SET_UP[what].format(key=key))
    target = lab.add_target()
    with lab.program(target, environment=ssh) as program:
        said = fails(program)
    assert "is not set up for the SSH method" in said
    assert key_line.compatible(key) in said
    assert uploads(lab) == []
    assert lab.leftovers(target) == []


OLD = {
    "a script without capabilities": 'echo \\"<output><structure/></output>\\"',
    "python": 'echo \\"usage: secure-vmkfstools-wrapper.py [-h] [--clone]\\" >&2; exit 2',
    "nothing": "exit 1",
    "version 0.3.3": "exec sh '/vmfs/volumes/ds one/old'",
}
STOCK_VERSION = """
echo '<output xmlns="http://www.vmware.com/Products/ESX/5.0/esxcli/"><structure typeName="result">'
echo '<field name="status"><string>0</string></field>'
echo '<field name="message"><string>{"version":"0.3.3"}</string></field></structure></output>'
"""


@pytest.mark.parametrize("what", OLD)
def test_a_line_that_leads_to_an_old_script_is_told_so(
    lab: Lab, ssh: dict[str, str | None], what: str
) -> None:
    key = public_key(key_of(ssh))
    script_on(lab).with_name("old").write_text(STOCK_VERSION)
    ready = "case $SSH_ORIGINAL_COMMAND in 'DS=;CMD='*) echo SSH_OK; exit;; esac"
    lab.authorize(f'command="{ready}; {OLD[what]}" {key}')
    target = lab.add_target()
    with lab.program(target, environment=ssh) as program:
        said = fails(program)
    assert ("old script" in said) == (what == "version 0.3.3")
    assert key_line.compatible(key) in said
    assert lab.leftovers(target) == []


def test_a_hardened_line_serves_as_well(lab: Lab, ssh: dict[str, str | None]) -> None:
    lab.authorize(key_line.hardened(public_key(key_of(ssh)), SCRIPT, ["fast-fc", "ds one"]))
    for others in (False, True):
        if others:  # the host has its own copy, so another script there is neither run nor replaced
            script_on(lab).write_bytes(b"touch /lab/canary\n")
        target = lab.add_target()
        with lab.program(target, environment=ssh) as program:
            assert program.wait() == 0, program.text()
        assert lab.copied(target)
        assert lab.leftovers(target) == []
    assert len(uploads(lab)) == 1
    assert not lab.host.ssh.sandbox.path("/lab/canary").exists()


def test_a_line_that_pins_another_script_gets_the_new_line(lab: Lab, ssh: dict[str, str | None]) -> None:
    key = public_key(key_of(ssh))
    lab.authorize(key_line.hardened(key, b"an older one", ["ds one"]))
    script_on(lab).write_bytes(b"an older one")
    target = lab.add_target()
    with lab.program(target, environment=ssh) as program:
        said = fails(program)
    assert key_line.hardened(key, SCRIPT, ["ds one"]) in said
    assert "the other datastores" in said
    assert script_on(lab).read_bytes() == b"an older one"  # others still work with it
    assert lab.leftovers(target) == []


def test_a_line_without_the_datastore_gets_one_that_has_it(lab: Lab, ssh: dict[str, str | None]) -> None:
    key = public_key(key_of(ssh))
    lab.authorize(key_line.hardened(key, SCRIPT, ["fast-fc"]))
    target = lab.add_target()
    with lab.program(target, environment=ssh) as program:
        said = fails(program)
    assert "does not allow datastore 'ds one'" in said
    assert key_line.hardened(key, SCRIPT, ["ds one"]) in said
    assert "the other datastores" in said
    assert key_line.compatible(key) not in said
    assert uploads(lab) == [], "nothing is written to a datastore that the host would not read it from"
    assert lab.leftovers(target) == []
    lab.authorize(key_line.hardened(key, SCRIPT, ["ds one", "fast-fc"]))
    with lab.program(target, environment=ssh) as program:
        assert program.wait() == 0, program.text()


def test_a_newer_script_is_left_alone(lab: Lab, ssh: dict[str, str | None]) -> None:
    newer = SCRIPT.replace(f"VERSION={VERSION}".encode(), b"VERSION=99.0.0")
    script_on(lab).write_bytes(newer)
    target = lab.add_target()
    with lab.program(target, environment=ssh) as program:
        assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert script_on(lab).read_bytes() == newer
    assert "has a newer script (99.0.0)" in program.text()


def test_the_other_method_does_not_look_at_the_key(lab: Lab) -> None:
    target = lab.add_target()
    given: dict[str, str | None] = {
        "SSH_PRIVATE_KEY": "nonsense!",
        "SSH_PUBLIC_KEY": "%%",
        "SSH_TIMEOUT_SECONDS": "soon",
    }
    with lab.program(target, environment=given) as program:
        assert program.wait() == 0, program.text()
    assert program.status.clone_method == "vib"
    assert "nonsense!" not in program.text()
    assert lab.leftovers(target) == []
