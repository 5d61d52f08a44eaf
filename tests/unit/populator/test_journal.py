"""The journal of a run: what it says in the Lease, and what is read back, whoever wrote it."""

from dataclasses import fields

import pytest

from lease.record import JOURNAL_BYTES, Notes
from populator.plan.journal import MIB, Journal, parse_journal

FULL = Journal(
    pvc="vms/disk-1",
    pvc_uid="6f1c8a52",
    volume="pvc-6f1c8a52",
    disk="[ds one] vm/vm.vmdk",
    host="esx-1.lab",
    host_id="host-9",
    vendor="ontap",
    array="svm.lab:8443",
    lun="/vol/v/lun",
    device="naa.600a0980",
    group="xcopy-hostsystem-host-9-iscsi",
    lun_id=0,
    adapters=("vmhba64", "vmhba65"),
    task="t-1",
    phase="clone",
    percent=0,
    rate=47.5,
    size=2**40,
    left="a copy",
)


def test_all_that_is_known_is_written_under_its_name_in_the_lease() -> None:
    assert FULL.facts() == {
        "pvc": "vms/disk-1",
        "pvcUid": "6f1c8a52",
        "volume": "pvc-6f1c8a52",
        "disk": "[ds one] vm/vm.vmdk",
        "host": "esx-1.lab",
        "hostId": "host-9",
        "vendor": "ontap",
        "array": "svm.lab:8443",
        "lun": "/vol/v/lun",
        "device": "naa.600a0980",
        "mapping": "xcopy-hostsystem-host-9-iscsi",
        "lunId": "0",
        "adapters": "vmhba64 vmhba65",
        "task": "t-1",
        "phase": "clone",
        "percent": "0",
        "rate": "47.5",
        "size": "1099511627776",
        "left": "a copy",
    }
    assert Journal().facts() == {}


def test_what_was_written_is_read_back() -> None:
    assert all(getattr(FULL, field.name) not in {"", None, ()} for field in fields(Journal))
    assert parse_journal(FULL.facts()) == FULL
    assert parse_journal({}) == Journal()


@pytest.mark.parametrize("nonsense", ["", "-1", "1.5", "\u0663", "many", "9" * 5000, "nan", "1e3"])
def test_what_makes_no_sense_is_not_known(nonsense: str) -> None:
    facts = {"lunId": nonsense, "percent": nonsense, "size": nonsense, "unreadable": "{", "volume": "v"}
    assert parse_journal(facts) == Journal(volume="v")


@pytest.mark.parametrize("nonsense", ["", "-1.5", ".5", "1.", "inf", "\u0663.0", "1.5.0", "9" * 5000])
def test_a_rate_that_makes_no_sense_is_not_known(nonsense: str) -> None:
    assert parse_journal({"rate": nonsense, "percent": "101"}) == Journal()


def test_what_is_left_of_a_copy_goes_by_its_rate_and_only_while_it_runs() -> None:
    facts = {"percent": "25", "rate": "10.0", "size": str(400 * MIB), "phase": "clone"}
    assert parse_journal(facts).remaining == 30.0
    assert parse_journal(facts | {"rate": "0.0"}).remaining is None
    assert parse_journal(facts | {"phase": "detach"}).remaining is None
    assert all(parse_journal(facts | {name: ""}).remaining is None for name in facts)


def test_of_adapters_that_were_cut_the_whole_names_count() -> None:
    assert parse_journal({"adapters": "vmhba64 vmh…"}).adapters == ("vmhba64",)


def test_the_longest_names_there_may_be_are_not_cut() -> None:
    longest = Journal(
        pvc=f"{'n' * 63}/{'p' * 253}",
        pvc_uid="u" * 36,
        volume="v" * 253,
        disk=f"[{'ü' * 80}] {'ü' * 80}/{'ü' * 80}.vmdk",
        host="h" * 253,
        host_id="host-1234567",
        vendor="pureFlashArray",
        array="a" * 259,
        lun="l" * 255,
        device=f"naa.{'6' * 32}",
        group="g" * 96,
        lun_id=16383,
        adapters=tuple(f"vmhba{number}" for number in range(64, 96)),
        task="t" * 36,
        phase="wait for copies on the host to end",
        percent=99,
        rate=99999.9,
        size=62 * 2**40,
        left="w" * 600,
    )
    text = Notes("pod", longest.facts()).text()
    assert len(text.encode()) <= JOURNAL_BYTES
    assert "…" not in text
