"""The wrapper's comparison of source and device: what it calls equal and what different, and what it leaves."""

import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.contract.wrapper.test_wrapper import (
    DEVICE,
    DISK,
    MIB,
    NAA,
    NAMES,
    Host,
    make_snapshot,
    running,
    wait_for,
)
from tests.lab import disks
from tests.lab.esxi.sandbox import SHELLS
from tests.lab.esxi.script import VERIFICATION as PREFIX

SECTOR = 512
SLOW_DD = (
    'case $* in *count=34) exec $real "$@" ;; esac; '
    'for each; do case $each in if=*) exec 3<"${each#if=}" ;; esac; done; /bin/busybox sleep 60; exit 1'
)
"""has what it is to compare open"""


@pytest.fixture(params=SHELLS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with running(request.param) as host:
        copy_by_hand(host)
        yield host


def copy_by_hand(host: Host) -> None:
    """Let the device hold what the disk's own extent does."""
    with host.lun.path.open("r+b") as lun:
        lun.write(host.disk.with_name("disk-flat.vmdk").read_bytes())


def resize(host: Host, size: int, islands: dict[int, bytes]) -> None:
    """Let the disk be a thin one of that size, and the device a true copy with something behind it."""
    disks.make_sparse_vmdk(host.disk.parent, host.disk.name, size, islands)
    host.lun.resize(size + 3 * MIB)
    os.truncate(host.lun.path, 0)
    os.truncate(host.lun.path, size + 3 * MIB)
    for offset, data in islands.items():
        write(host, offset, data)
    write(host, size, b"not the disk's")


def write(host: Host, offset: int, data: bytes) -> None:
    with host.lun.path.open("r+b") as lun:
        lun.seek(offset)
        lun.write(data)


def flip(host: Host, offset: int) -> None:
    write(host, offset, bytes([host.lun.read(offset, 1)[0] ^ 1]))


def begin(host: Host, samples: str = "64", source: str = DISK, target: str = DEVICE) -> dict[str, Any]:
    words = ("--verify", "-s", source, "-t", target, "-i", str(uuid4()), "-n", samples)
    reply = host.call(*words)
    assert reply.status == "0", reply.text
    assert list(reply.facts) == ["taskId", "state", "percent", "bytes", "offset", "stdErr"]
    return reply.facts


def finish(host: Host, facts: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end, and tidy up: nothing stays."""
    task = facts["taskId"]
    while facts["state"] == "running":
        facts = host.get(task)
    host.call("--task-clean", "-i", task)
    assert folders(host) == []
    return facts


def folders(host: Host) -> list[str]:
    return [each for each in host.script.temporary if each.startswith(PREFIX)]


def verify(host: Host, samples: str = "64", source: str = DISK) -> dict[str, Any]:
    return finish(host, begin(host, samples, source))


def read_places(host: Host, path: str = DEVICE) -> list[tuple[int, int, int]]:
    """Return what the host's dd read of a file: block size, first block, how many."""
    found = []
    for line in host.sandbox.path("/lab/read").read_text().splitlines():
        given = dict(word.split("=", 1) for word in line.split("\t") if "=" in word)
        if given["if"] == path:
            found.append((int(given["bs"]), int(given["skip"]), int(given["count"])))
    return found


def watch_dd(host: Host) -> None:
    host.break_program("dd", '(IFS="\t"; printf "%s\\n" "$*" >>/lab/read)')
    host.sandbox.path("/lab/read").write_text("")


def test_what_was_copied_is_equal_and_nothing_is_written(host: Host) -> None:
    files = [host.lun.path, host.disk, host.disk.with_name("disk-flat.vmdk")]
    before = [each.stat().st_mtime_ns for each in files]
    done = verify(host, "all")
    assert (done["state"], done["bytes"], done["offset"], done["stdErr"]) == ("equal", 4 * MIB, None, "")
    assert [each.stat().st_mtime_ns for each in files] == before
    assert sorted(each.name for each in host.disk.parent.iterdir()) == ["disk-flat.vmdk", "disk.vmdk"]


def test_the_first_byte_that_differs_is_named(host: Host) -> None:
    for offset in (4 * MIB - 1, 3 * MIB + 17, MIB, 700_000, 512, 0):
        flip(host, offset)
        done = verify(host, "all")
        assert (done["state"], done["offset"]) == ("different", offset)


def test_a_disk_of_no_whole_mibs_is_compared_to_its_last_sector(host: Host) -> None:
    size = 2 * MIB + 3 * SECTOR
    resize(host, size, {size - 1: b"x"})
    assert verify(host, "all")["bytes"] == size
    for samples in ("all", "0"):
        flip(host, size - 1)
        assert verify(host, samples)["offset"] == size - 1
        flip(host, size - 1)


def partitioned(first: int, second: int) -> bytes:
    """Return the first sectors of a disk with a GPT of two partitions, by the sectors they begin at."""
    mbr = bytes(446) + struct.pack("<8xII", 1, 2**32 - 1)[:16] + bytes(48) + b"\x55\xaa"
    mbr = mbr[:450] + b"\xee" + mbr[451:]
    header = b"EFI PART" + struct.pack("<IIIIQQQQ16sQII", 1 << 16, 92, 0, 0, 1, 0, 34, 0, b"", 2, 128, 128)
    entries = b"".join(
        struct.pack("<16s16sQQ72x8x", b"\xa2" * 16, b"u", at, at + 7) for at in (first, second)
    )
    return mbr + header.ljust(SECTOR, b"\0") + entries


def test_samples_are_both_ends_partitions_and_one_place_in_each_part(host: Host) -> None:
    size, parts = 640 * MIB, 8
    resize(host, size, {0: partitioned(101 * 2048, 333 * 2048 + 5)})
    watch_dd(host)
    done = verify(host, str(parts))
    places = read_places(host)
    assert {(size, count) for size, _, count in places} == {(MIB, 1)}
    mibs = [first for _, first, _ in places]
    assert done["bytes"] == len(mibs) * MIB
    assert {0, 639, 101, 333} <= set(mibs)
    assert {mib * parts // 640 for mib in set(mibs) - {0, 639, 101, 333}} <= set(range(parts))
    assert 4 + parts - 4 <= len(mibs) <= 4 + parts
    assert mibs == sorted(set(mibs))
    host.sandbox.path("/lab/read").write_text("")
    verify(host, str(parts))
    assert [first for _, first, _ in read_places(host)] != mibs, "other places each time"


@pytest.mark.parametrize("offset", [5, 639 * MIB + 9, 101 * MIB + 77, 333 * MIB + 1])
def test_of_a_large_disk_a_byte_where_it_counts_is_seen(host: Host, offset: int) -> None:
    resize(host, 640 * MIB, {0: partitioned(101 * 2048, 333 * 2048)})
    flip(host, offset)
    assert verify(host, "2")["offset"] == offset


def test_an_mbr_alone_names_partitions_too(host: Host) -> None:
    entry = struct.pack("<B3xB3xII", 0x80, 0x83, 222 * 2048, 100)
    resize(host, 640 * MIB, {0: bytes(446) + entry + bytes(48) + b"\x55\xaa"})
    flip(host, 222 * MIB + 4)
    assert verify(host, "1")["offset"] == 222 * MIB + 4


def replace_extent(line: str) -> Callable[[Host], None]:
    def act(host: Host) -> None:
        text = host.disk.read_text()
        [extent] = [each for each in text.splitlines() if each.startswith("RW ")]
        host.disk.write_text(text.replace(extent, line.replace("SECTORS", extent.split()[1])))

    return act


def shorten(host: Host) -> None:
    os.truncate(host.lun.path, 2 * MIB + 5)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (make_snapshot, "is a snapshot"),
        (replace_extent('RW SECTORS VMFSRDM "disk-rdm.vmdk"'), "raw device mapping"),
        (replace_extent('RW SECTORS VMFS "vvol://1/2"'), "no file that holds its bytes"),
        (replace_extent('RW SECTORS VMFS "../vm a/disk-flat.vmdk"'), "no file that holds its bytes"),
        (replace_extent('RW SECTORS VMFSSPARSE "disk-flat.vmdk"'), "no file that holds its bytes"),
        (replace_extent('RW 1 VMFS "disk-flat.vmdk"\nRW 1 VMFS "disk-flat.vmdk"'), "several extents"),
        (replace_extent("RW SECTORS VMFS"), "no file that holds its bytes"),
        (replace_extent('RW many VMFS "disk-flat.vmdk"'), "no file that holds its bytes"),
        (replace_extent('RW SECTORS VMFS "other-flat.vmdk"'), "other-flat.vmdk is not there"),
        (lambda host: host.disk.write_bytes(os.urandom(70_000)), "no descriptor"),
        (lambda host: host.disk.unlink(), "cannot be read"),
        (lambda host: host.san.unmap(NAA, "xcopy"), "is not there"),
        (shorten, "the device cannot be read: it ends too early"),
        (
            lambda host: os.truncate(host.disk.with_name("disk-flat.vmdk"), 3 * MIB),
            "the source cannot be read",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_with_the_reason(
    host: Host, act: Callable[[Host], object], said: str
) -> None:
    act(host)
    done = verify(host, "all")
    assert done["state"] == "unread"
    assert said in done["stdErr"]


def test_an_extent_that_is_a_link_is_not_followed(host: Host) -> None:
    flat = host.disk.with_name("disk-flat.vmdk")
    flat.rename(flat.with_name("x"))
    flat.symlink_to("x")
    assert "is not there" in verify(host)["stdErr"]


LOCKED = "echo \"dd: can't open '$1': Device or resource busy\" >&2; exit 1"


@pytest.mark.parametrize(
    ("program", "how", "said"),
    [
        ("dd", LOCKED, "Device or resource busy"),
        ("dd", "exit 0", "it ends too early"),
        ("dd", '/bin/busybox dd "$@" 2>/dev/null; exit', "it ends too early"),
        ("md5sum", "/bin/busybox cat >/dev/null; exit 0", "cannot be read"),
        ("md5sum", "/bin/busybox cat >/dev/null; echo d41d8; exit 0", "cannot be read"),
        ("head", "exit 1", "cannot be read"),
    ],
)
def test_a_program_that_fails_makes_nothing_equal(host: Host, program: str, how: str, said: str) -> None:
    host.break_program(program, how)
    done = verify(host, "all")
    assert (done["state"], said in done["stdErr"]) == ("unread", True), done


def test_a_plan_that_is_cut_off_makes_nothing_equal(host: Host) -> None:
    resize(host, 640 * MIB, {})
    half = 'case "$*" in *" -f "*) $real "$@" | /bin/busybox head -n 3; exit ;; esac'
    for how in ('case "$*" in *" -f "*) exit 1 ;; esac', half):
        host.break_program("awk", how)
        assert verify(host, "all")["state"] == "unread"


def test_a_host_with_another_checksum_program_compares_and_one_with_none_says_so(host: Host) -> None:
    host.sandbox.path("/bin/md5sum").unlink()
    assert verify(host)["state"] == "equal"
    flip(host, 99)
    assert verify(host)["offset"] == 99
    host.sandbox.path("/bin/sha256sum").unlink()
    assert "no program for checksums" in verify(host)["stdErr"]


@pytest.mark.parametrize("after", [4, 8, 20])
def test_what_has_differed_stays_different_when_it_cannot_be_read_again(host: Host, after: int) -> None:
    flip(host, MIB + 5)
    host.break_program("dd", LOCKED, after=after)
    done = verify(host, "all")
    assert done["state"] == "different"
    assert 0 <= done["offset"] <= MIB + 5


def test_stop_ends_all_of_it_and_can_be_repeated(host: Host) -> None:
    host.break_program("dd", SLOW_DD)
    task = begin(host, "all")["taskId"]
    wait_for(lambda: bool(host.machine.readers(NAA)))
    assert host.call("--task-clean", "-i", task).facts["reason"] == "running"
    for _ in range(2):
        assert host.call("--task-stop", "-i", task).facts["state"] == "unread"
        assert host.sandbox.processes() == []
    assert host.machine.readers(NAA) == []
    assert host.call("--task-clean", "-i", task).status == "0"
    assert folders(host) == []


def test_killed_it_has_come_to_no_end(host: Host) -> None:
    host.break_program("dd", SLOW_DD)
    facts = begin(host, "all")
    host.sandbox.kill()
    done = finish(host, host.get(facts["taskId"]))
    assert (done["state"], done["stdErr"]) == (
        "unread",
        "the comparison was ended before it had come to its end",
    )


def test_a_process_that_has_ended_and_that_nobody_has_reaped_keeps_nothing_there(host: Host) -> None:
    done = begin(host)
    while done["state"] == "running":
        done = host.get(done["taskId"])
    folder = host.folder(done["taskId"]).with_name(f"{PREFIX}{done['taskId']}")
    leader = subprocess.Popen(["true"], process_group=0)
    with subprocess.Popen(["true"], process_group=leader.pid) as member:
        leader.wait()
        os.waitid(os.P_PID, member.pid, os.WEXITED | os.WNOWAIT)
        (folder / "pid").write_text(f"{leader.pid}\n")
        assert host.call("--task-clean", "-i", done["taskId"]).status == "0"
    assert folders(host) == []


def test_nobody_asking_it_ends_by_itself_and_leaves_nothing(host: Host) -> None:
    resize(host, 640 * MIB, {})
    host.break_program("dd", "/bin/busybox sleep 0.2")
    task = begin(host, "all")["taskId"]
    asked = host.folder(task).with_name(f"{PREFIX}{task}") / "asked"
    asked.write_text(f"{time.time() - 200:.0f}\n")
    wait_for(lambda: not folders(host) and not host.sandbox.processes())


def test_asked_for_again_it_goes_on(host: Host) -> None:
    host.break_program("dd", SLOW_DD)
    facts = begin(host, "all")
    words = ("--verify", "-s", DISK, "-t", DEVICE, "-i", facts["taskId"], "-n", "all")
    leader = host.folder(facts["taskId"]).with_name(f"{PREFIX}{facts['taskId']}") / "pid"
    first = leader.read_text()
    assert host.call(*words).facts["state"] == "running"
    assert leader.read_text() == first
    asked = host.folder(facts["taskId"]).with_name(f"{PREFIX}{facts['taskId']}") / "asked"
    before = int(time.time()) - 60  # not so long ago that it would end by itself
    asked.write_text(f"{before}\n")
    host.get(facts["taskId"])
    assert int(asked.read_text()) > before
    host.call("--task-stop", "-i", facts["taskId"])
    finish(host, facts | {"state": "stopped"})


def test_it_is_no_copy(host: Host) -> None:
    host.break_program("dd", SLOW_DD)
    facts = begin(host, "all")
    assert host.call("--task-list").facts == {"tasks": []}
    host.mend_program("dd")
    reply = host.call("--clone", "-s", DISK, "-t", DEVICE, "-l", "1")
    assert reply.status == "0", reply.text
    host.finish(reply.facts["taskId"])
    host.call("--task-stop", "-i", facts["taskId"])
    finish(host, facts | {"state": "stopped"})


def test_what_a_day_old_one_left_is_removed(host: Host) -> None:
    left = host.sandbox.path(f"/tmp/{PREFIX}{uuid4()}")
    left.mkdir()
    (left / "end").write_text("equal 1\n")
    os.utime(left, (time.time() - 2.1 * 86400,) * 2)
    verify(host)
    wait_for(lambda: not left.exists())


@pytest.mark.parametrize(
    "change",
    [
        {"-n": ""}, {"-n": "-1"}, {"-n": "12345"}, {"-n": "1 2"}, {"-n": "$(x)"}, {"-n": "*"}, {"-i": ""},
        {"-i": "../x"}, {"-i": "0B7E21C4-1111-4222-8333-000000000001"}, {"-t": "/vmfs/volumes/ds one/x.vmdk"},
        {"-t": "@:1"}, {"-s": "/etc/shadow"}, {"-s": "@"}, {"-s": ""},
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_is_refused(host: Host, change: dict[str, str]) -> None:
    words = {"-s": DISK, "-t": DEVICE, "-i": str(uuid4()), "-n": "64"} | change
    reply = host.call("--verify", *(word.replace("@", DEVICE) for pair in words.items() for word in pair))
    assert (reply.status, reply.code) == ("1", 1)
    assert folders(host) == []


@pytest.mark.parametrize("first", range(2))
def test_every_name_is_read_verbatim(host: Host, first: int) -> None:
    for number, name in enumerate(NAMES[first::2]):
        folder = host.datastore / name
        disks.make_vmdk(folder, f"{name}.vmdk", SECTOR * 3, content=number + 50)
        write(host, 0, (folder / f"{name}-flat.vmdk").read_bytes())
        source = f"/vmfs/volumes/ds one/{name}/{name}.vmdk"
        encoded = f"pct:{quote(source, safe='/')}".replace("~", "%7E")
        task = str(uuid4())
        match number % 4:
            case 0:
                facts = begin(host, source=source)
            case 1:
                facts = host.call(ssh=f"--verify -s {source} -t {DEVICE} -i {task} -n 64").facts
            case 2:
                facts = host.call(ssh=f"--verify -s {encoded} -t {DEVICE} -i {task} -n all").facts
            case _:
                values = {"sourcevmdk": encoded, "targetlun": DEVICE, "id": task, "samples": "64"}
                assert f'"{task}"' in host.script.answer("verify", values)
                facts = host.get(task)
        done = finish(host, facts)
        assert (done["state"], done["bytes"]) == ("equal", 3 * SECTOR), (name, done)
    assert list(host.sandbox.root.rglob("canary")) == []
    assert list(host.datastore.rglob("canary")) == []
