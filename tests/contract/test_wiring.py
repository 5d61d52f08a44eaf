"""The parts of a run against the lab: none is built before it is asked for, and each is closed after what needs it."""

from collections.abc import Iterator

import pytest

from lease.stepwise import StepLock
from lease.throughout import CopyLock
from populator.clock import Clock
from populator.report.page import Page
from populator.report.run import Report
from populator.settings.parse import parse_settings
from populator.wiring import RealParts
from tests.faults.sweep import DEFAULTS, FROM_ENVIRONMENT, trusted_pki
from tests.lab.lab import Lab
from vsphere.model import EsxiHost, SourceDisk


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with trusted_pki() as pki, Lab(pki=pki) as lab:
        yield lab


def parts_of(lab: Lab, method: str = "vib", **environment: str) -> RealParts:
    values = lab.environment() | environment
    if method == "ssh":
        values |= {name: value or "" for name, value in lab.start_ssh().items()}
    given: dict[str, str | None] = dict(DEFAULTS | lab.arguments(lab.add_target()))
    given |= {name: values.get(variable) for name, variable in FROM_ENVIRONMENT.items()}
    settings = parse_settings(given | {"esxi-clone-method": method}, values)
    clock = Clock()
    lab.ledger.reset()
    return RealParts(settings, clock, Report(Page(settings.target.uid, "ontap", method), clock))


def look_up(parts: RealParts) -> tuple[SourceDisk, EsxiHost]:
    source = parts.settings.source
    disk = parts.inventory.find_disk(source.vm, str(source.vmdk))
    return disk, parts.inventory.find_host(disk, source.migration_host)


def test_what_is_not_asked_for_makes_no_call(lab: Lab) -> None:
    with parts_of(lab) as parts:
        assert parts.array is parts.array
    assert not lab.ledger.calls


def test_each_part_is_there_once(lab: Lab) -> None:
    with parts_of(lab) as parts:
        disk, host = look_up(parts)
        assert parts.claim is parts.claim
        assert parts.host_lease is parts.host_lease
        assert parts.devices(host) is parts.devices(host)
        assert parts.wrapper(host, disk.path) is parts.wrapper(host, disk.path)
        assert parts.cloner(host, disk.path) is parts.cloner(host, disk.path)


def test_what_was_opened_is_closed_and_vcenter_hears_of_it_last(lab: Lab) -> None:
    with parts_of(lab, "ssh") as parts:
        disk, host = look_up(parts)
        parts.wrapper(host, disk.path)
        parts.array.info()
        shells = list(lab.host.ssh._sessions)
        assert shells[-1].poll() is None
    assert lab.ledger.calls[-1].label == "Logout"
    for shell in shells:
        shell.wait(5)  # raises where the connection is still open


@pytest.mark.parametrize(("scope", "kind"), [("copy", CopyLock), ("rescan", StepLock)])
def test_the_scope_chooses_the_host_lease_and_its_figures_are_on_the_page(
    lab: Lab, scope: str, kind: type
) -> None:
    with parts_of(lab, HOST_LEASE_SCOPE=scope) as parts:
        assert parts.report.page.lease is None
        assert isinstance(parts.host_lease, kind)
        assert parts.report.page.lease is not None


def test_each_process_is_a_holder_of_its_own_under_its_pods_name(lab: Lab) -> None:
    first, second = (parts_of(lab, HOSTNAME="populate-1") for _ in range(2))
    assert first._identity == first._identity != second._identity
    assert {parts._identity.partition("_")[0] for parts in (first, second)} == {"populate-1"}
