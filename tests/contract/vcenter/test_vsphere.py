"""The clients of vCenter and hosts, against stock vcsim and hosts that behave like real ones.

What is watched besides the results: how many calls vCenter gets, what the hosts went through, and that nothing
that was taken to a host stays there.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from populator.clock import Clock
from populator.retry import READ, Policy
from tests.lab import world
from tests.lab.disks import MIB, same_bytes
from tests.lab.esxi import EsxcliServer, EsxiHost
from tests.lab.esxi.storage import LOCAL
from tests.lab.esxi.wire import Done, Result, Rows, failed, not_found
from tests.lab.faults import Ledger, proxy
from tests.lab.pki import Pki
from tests.lab.san import LunFile, San
from tests.lab.slot import Slot
from tests.lab.vcenter import HostSpec, VCenter
from vsphere.copy.clone import Cloner
from vsphere.errors import (
    CloneFailed,
    CopyMayBeRunning,
    EsxcliFault,
    EsxcliNotFound,
    LoginRefused,
    Setting,
    Unreachable,
    VcenterFault,
    VsphereError,
)
from vsphere.host.devices import Devices
from vsphere.host.esxcli import Esxcli
from vsphere.model import Adapter, CopyResult, Initiator, InitiatorKind
from vsphere.vcenter.extents import datastore_extents
from vsphere.vcenter.inventory import boot_time, find_disk, find_host, hosts_of
from vsphere.vcenter.session import Session
from vsphere.vcenter.soap import Soap, pyvmomi, tls_context
from vsphere.wrapper.by_esxcli import Plugin

USER, PASSWORD = "operator@vsphere.local", "the-vcenter-secret"
SIZE = world.DISK_SIZE
GROUP = "xcopy-test"
ISCSI = Adapter("vmhba64", Initiator(InitiatorKind.ISCSI, "iqn.x"))
NEVER_TWICE = 2
"""more than two operations at once that can shake a host were seen to bring it down"""


class Site:
    """vCenter, hosts and SAN, with a numbering proxy between us and vCenter."""

    def __init__(
        self,
        directory: Path,
        vcenter: VCenter,
        san: San,
        ledger: Ledger,
        port: int,
        pki: Pki,
        server: EsxcliServer,
    ) -> None:
        self.directory, self.vcenter, self.san = directory, vcenter, san
        self.ledger, self.port, self.pki, self.server = ledger, port, pki, server
        self.hosts: dict[str, EsxiHost] = {}
        self.luns = 0

    def install(self, spec: HostSpec) -> None:
        """Put a new machine in the place of a host."""
        stores = world.datastores(self.directory / "datastores")
        host = EsxiHost(
            spec.name,
            self.vcenter.hosts[spec.name],
            [asdict(one) for one in spec.adapters],
            self.san,
            {one.name: one.directory for one in stores if spec.name in one.hosts},
            on_boot=lambda host: self.vcenter.set_host(host.moid, boot_time=host.boot_time),
        )
        self.vcenter.set_host(host.moid, connection_state="connected", in_maintenance_mode=False)
        self.hosts[spec.name] = host
        self.server.add(host)

    @property
    def host(self) -> EsxiHost:
        return self.hosts[world.PLAIN_HOST]

    def session(
        self,
        clock: Clock,
        *,
        password: str = PASSWORD,
        ca_pem: str | None = None,
        insecure: bool = False,
        port: int = 0,
        host: str = "127.0.0.1",
        policy: Policy = READ,
    ) -> Session:
        return Session(
            host,
            port or self.port,
            USER,
            password,
            clock=clock,
            retry=lambda call, passing: policy.run(call, passing, clock),
            ca_pem=self.pki.ca_pem if ca_pem is None else ca_pem,
            insecure=insecure,
        )

    def lun(self, *, mapped: bool = True, lun_id: int = 7, size: int = SIZE) -> LunFile:
        self.luns += 1
        lun = self.san.create_lun(f"naa.600a0980383030{self.luns:018x}", size)
        if mapped:
            self.map(lun, lun_id)
        return lun

    def map(self, lun: LunFile, lun_id: int = 7) -> None:
        self.san.map(lun.naa, [self.host.adapters[0].port], lun_id, GROUP)

    def labels(self) -> list[str]:
        return [call.label for call in self.ledger.calls]

    def disk(self, path: str) -> Path:
        return world.file_of(self.directory / "datastores", path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    folder = world.make_datastores(directory / "datastores")
    pki, san, ledger = Pki(directory / "pki"), San(directory / "luns"), Ledger()
    esxcli = directory / "esxcli.sock"
    with (
        EsxcliServer(esxcli) as server,
        VCenter(
            directory=directory,
            cert=pki.issue("vcenter"),
            ca_pem=pki.ca_pem,
            username=USER,
            password=PASSWORD,
            hosts=world.hosts(),
            datastores=world.datastores(folder),
            vms=world.vms(),
            esxcli_socket=esxcli,
        ) as vcenter,
        proxy(
            "vcenter",
            ("127.0.0.1", vcenter.port),
            ledger,
            pki.server_context("proxy"),
            pki.client_context(),
        ) as port,
    ):
        yield Site(directory, vcenter, san, ledger, port, pki, server)


@pytest.fixture
def site(running: Site) -> Site:
    """The site with no LUNs, and with hosts that have just been booted for the first time."""
    running.ledger.reset()
    running.vcenter.withhold()
    for vm in world.vms():
        power = "poweredOn" if vm.powered_on else "poweredOff"
        running.vcenter.set_vm(vm.name, connection_state="connected", power_state=power)  # type: ignore[arg-type]
    for naa in list(running.san.luns):
        running.san.delete_lun(naa)
    for left in (running.directory / "datastores").rglob("*-rdmdisk-*"):
        left.unlink()
    for spec in world.hosts():
        running.install(spec)
    return running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(site: Site, clock: Clock) -> Iterator[Session]:
    with site.session(clock) as session:
        session.login()
        site.ledger.reset()
        yield session


@pytest.fixture
def esxcli(site: Site, session: Session) -> Esxcli:
    return Esxcli(session, site.host.moid, site.host.name)


@pytest.fixture
def devices(esxcli: Esxcli, clock: Clock) -> Devices:
    return Devices(esxcli, clock)


@pytest.fixture
def cloner(site: Site, session: Session, esxcli: Esxcli, clock: Clock) -> Cloner:
    return Cloner(Plugin(esxcli), lambda: boot_time(session, site.host.moid), clock)


@pytest.fixture
def slot() -> Slot:
    return Slot()


def soon(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


# Session


def test_logs_in_and_out(site: Site, clock: Clock) -> None:
    with site.session(clock) as session:
        session.login()
        assert session.content.about.apiType == "VirtualCenter"
    assert site.labels() == ["RetrieveServiceContent", "Login", "Logout"]


def test_a_wrong_password_is_refused_at_once_and_stays_secret(site: Site, clock: Clock) -> None:
    with site.session(clock, password="not-this-one") as session, pytest.raises(LoginRefused) as caught:
        session.login()
    assert caught.value.setting is Setting.VCENTER_LOGIN
    assert site.labels().count("Login") == 1
    assert "not-this-one" not in f"{caught.value} {caught.value.hint} {session!r}"


def test_a_certificate_of_an_unknown_ca_is_not_trusted(site: Site, clock: Clock) -> None:
    with (
        site.session(clock, ca_pem="") as session,
        pytest.raises(VsphereError, match="not trusted") as caught,
    ):
        session.login()
    assert caught.value.setting is Setting.VCENTER_CA
    assert not site.ledger.calls


def test_a_certificate_for_another_name_is_not_trusted(site: Site, clock: Clock) -> None:
    cert = site.pki.issue("elsewhere", "vcenter.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert.cert_file, cert.key_file)
    upstream = ("127.0.0.1", site.vcenter.port)
    port = proxy("vcenter", upstream, site.ledger, context, site.pki.client_context())
    with (
        port as number,
        site.session(clock, port=number) as session,
        pytest.raises(VsphereError, match="trusted"),
    ):
        session.login()


def test_insecure_takes_any_certificate(site: Site, clock: Clock) -> None:
    with site.session(clock, ca_pem="", insecure=True) as session:
        session.login()


def test_a_server_certificate_may_stand_in_the_bundle_itself(site: Site, clock: Clock) -> None:
    own = next(site.pki.directory.glob("proxy-*.pem")).read_text()
    with site.session(clock, ca_pem=own) as session:
        session.login()


def test_a_bundle_that_is_no_pem_is_an_error(site: Site, clock: Clock) -> None:
    with pytest.raises(VsphereError, match="not valid PEM"):
        site.session(clock, ca_pem="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----")


QUICK = Policy("quick", deadline=0.3)


def test_a_port_that_nobody_listens_on(site: Site, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        site.session(clock, port=port, policy=QUICK) as session,
        pytest.raises(Unreachable, match="refuses") as caught,
    ):
        session.login()
    assert not caught.value.sent


def test_a_host_name_that_does_not_resolve(site: Site, clock: Clock) -> None:
    with (
        site.session(clock, host="no-such-vcenter.invalid", policy=QUICK) as session,
        pytest.raises(VsphereError, match="cannot be resolved"),
    ):
        session.login()


def test_a_server_that_never_answers(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        soap = Soap("127.0.0.1", server.getsockname()[1], tls_context(site.pki.ca_pem))
        instance = pyvmomi().vim.ServiceInstance("ServiceInstance", soap.stub)
        with pytest.raises(Unreachable, match="timed out") as caught:
            soap.call(instance.RetrieveContent, 0.5)
    assert not caught.value.sent


def test_an_expired_session_is_renewed_and_the_call_made_again(
    site: Site, session: Session, esxcli: Esxcli
) -> None:
    site.vcenter.expire_sessions()
    assert esxcli.ask("system version get")[0]["Version"] == site.host.product_version
    site.vcenter.expire_sessions()
    assert esxcli.run("system version get")[0]["Version"] == site.host.product_version
    assert site.labels().count("Login") == 2


@pytest.mark.parametrize("fault", ["before", "after", "reset", "5xx"])
def test_a_read_survives_a_broken_call(site: Site, session: Session, esxcli: Esxcli, fault: str) -> None:
    esxcli.ask("system version get")
    site.ledger.reset(lambda call: fault if call.number == 1 else None)
    assert esxcli.ask("system version get")[0]["Version"] == site.host.product_version
    assert len(site.ledger.calls) == 2


@pytest.mark.parametrize("fault", ["before", "after", "reset", "hang", "5xx"])
def test_a_call_that_is_made_once_tells_that_it_may_have_been_done(
    site: Site, session: Session, esxcli: Esxcli, fault: str
) -> None:
    esxcli.ask("system version get")
    site.ledger.reset(lambda call: fault)
    with pytest.raises(Unreachable) as caught:
        esxcli.run("system version get", 0.7)
    assert caught.value.sent
    assert len(site.ledger.calls) == 1
    site.ledger.reset()


def test_logging_out_of_a_dead_session_is_harmless(site: Site, clock: Clock) -> None:
    with site.session(clock) as session:
        session.login()
        site.ledger.reset(lambda call: "before")
    site.ledger.reset()
    with site.session(clock) as session:
        session.login()
        site.vcenter.expire_sessions()
    assert site.labels().count("Login") == 1


# Inventory


def test_finds_disk_and_host_by_id_in_two_calls(site: Site, session: Session) -> None:
    disk = find_disk(session, site.vcenter.vms[world.PLAIN_VM], world.PLAIN_DISK)
    host = find_host(session, disk)
    assert (disk.path, disk.capacity, disk.allocated, disk.kind) == (
        world.PLAIN_DISK,
        SIZE,
        SIZE,
        "vmdk",
    )
    assert (host.id, host.name) == (site.host.moid, site.host.name)
    assert site.labels() == ["RetrievePropertiesEx"] * 2


@pytest.mark.parametrize("name", [world.PLAIN_VM, f"/DC0/vm/{world.PLAIN_VM}", f"DC0/vm/{world.PLAIN_VM}"])
def test_finds_a_vm_by_name_and_by_path(session: Session, name: str) -> None:
    disk = find_disk(session, name, world.DATA_DISK)
    assert disk.path == world.DATA_DISK


@pytest.mark.parametrize("vm", ["vm-999999", "nobody", "/DC0/vm/nobody", "/DC0/vm"])
def test_a_vm_that_is_not_there(session: Session, vm: str) -> None:
    with pytest.raises(VsphereError, match="There is no VM"):
        find_disk(session, vm, world.PLAIN_DISK)


def test_a_disk_that_is_not_there_lists_those_that_are(session: Session) -> None:
    with pytest.raises(VsphereError, match="has no disk") as caught:
        find_disk(session, world.PLAIN_VM, "[ds one] plain vm/other.vmdk")
    assert world.PLAIN_DISK in caught.value.text
    assert world.DATA_DISK in caught.value.text
    assert "Hard disk 2" in caught.value.text


@pytest.mark.parametrize(
    ("vm", "link", "capacity", "allocated"),
    [
        (world.SNAPSHOT_VM, world.NEWEST, SIZE, 3 * world.DELTA_SIZE + world.BASE_SIZE),
        (world.SNAPSHOT_VM, world.MIDDLE, SIZE, 2 * world.DELTA_SIZE + world.BASE_SIZE),
        (world.SNAPSHOT_VM, world.BASE, world.BASE_SIZE, world.BASE_SIZE),
        (world.CLONE_VM, world.CLONE_DISK, SIZE, MIB + SIZE),
        (world.CLONE_VM, world.CLONE_BASE, SIZE, SIZE),
    ],
)
def test_a_link_of_a_chain_is_found_as_it_is_named(
    session: Session, vm: str, link: str, capacity: int, allocated: int
) -> None:
    disk = find_disk(session, vm, link)
    assert (disk.path, disk.capacity, disk.allocated, disk.kind) == (link, capacity, allocated, "vmdk")


@pytest.mark.parametrize(
    ("vm", "link", "power", "warned"),
    [
        (world.SNAPSHOT_VM, world.BASE, "poweredOff", True),
        (world.SNAPSHOT_VM, world.MIDDLE, "poweredOff", True),
        (world.SNAPSHOT_VM, world.BASE, "suspended", True),
        (world.SNAPSHOT_VM, world.BASE, "poweredOn", False),
        (world.SNAPSHOT_VM, world.NEWEST, "poweredOff", False),
        (world.PLAIN_VM, world.PLAIN_DISK, "poweredOff", False),
    ],
)
def test_what_a_named_link_leaves_out_is_warned_of_where_nothing_is_to_follow(
    site: Site,
    session: Session,
    caplog: pytest.LogCaptureFixture,
    vm: str,
    link: str,
    power: str,
    warned: bool,
) -> None:
    site.vcenter.set_vm(vm, power_state=power)  # type: ignore[arg-type]
    find_disk(session, vm, link)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert bool(warnings) == warned
    assert all(link in text and world.NEWEST in text for text in warnings)


def test_a_host_must_have_mounted_what_a_linked_clone_inherits_from(site: Site, session: Session) -> None:
    disk = find_disk(session, world.CLONE_VM, world.CLONE_DISK)
    with pytest.raises(VsphereError, match="does not have datastore 'local' mounted") as caught:
        find_host(session, disk, site.vcenter.hosts[world.OTHER_HOST])
    assert world.CLONE_BASE in caught.value.text


@pytest.mark.parametrize(
    ("vm", "path", "kind", "backing"),
    [
        (world.RDM_VM, world.RDM_DISK, "rdm", r"vml\.[0-9a-f]+"),
        (world.VVOL_VM, world.VVOL_DISK, "vvol", r"rfc4122\.5f1b"),
        (world.PLAIN_VM, world.PLAIN_DISK, "vmdk", ""),
    ],
)
def test_tells_what_is_behind_a_disk(session: Session, vm: str, path: str, kind: str, backing: str) -> None:
    disk = find_disk(session, vm, path)
    assert disk.kind == kind
    assert re.fullmatch(backing, disk.backing)


@pytest.mark.parametrize("path", world.ODD_DISKS)
def test_odd_names_are_found_as_they_are(session: Session, path: str) -> None:
    assert find_disk(session, world.ODD_VM, path).path == path


def test_adapters_with_active_paths_to_the_datastore_come_first(site: Site, session: Session) -> None:
    host = find_host(session, find_disk(session, world.PLAIN_VM, world.PLAIN_DISK))
    iscsi, fc = world.hosts()[0].adapters
    assert host.adapters == (
        Adapter("vmhba64", Initiator(InitiatorKind.ISCSI, iscsi.initiator)),
        Adapter("vmhba2", Initiator(InitiatorKind.FC, fc.wwpn)),
    )
    assert host.initiators == {adapter.initiator for adapter in host.adapters}


def test_world_wide_names_are_read_as_unsigned(session: Session) -> None:
    host = find_host(session, find_disk(session, world.FC_VM, world.FC_DISK))
    spec = world.hosts()[1].adapters[1]
    assert host.name == world.OTHER_HOST
    assert host.adapters[0] == Adapter("vmhba2", Initiator(InitiatorKind.FC, spec.wwpn))


def test_the_paths_of_all_links_count(session: Session) -> None:
    """A linked clone's delta lies on the SAN, its base here on a local disk."""
    host = find_host(session, find_disk(session, world.CLONE_VM, world.CLONE_DISK))
    assert [adapter.name for adapter in host.adapters] == ["vmhba64", "vmhba2"]


@pytest.mark.parametrize(
    ("vm", "path"), [(world.LOCAL_VM, world.LOCAL_DISK), (world.VVOL_VM, world.VVOL_DISK)]
)
def test_without_an_active_path_all_are_offered_fc_first(session: Session, vm: str, path: str) -> None:
    host = find_host(session, find_disk(session, vm, path))
    assert [adapter.name for adapter in host.adapters] == ["vmhba2", "vmhba64"]


def test_the_migration_host_goes_before_the_vms_own(site: Site, session: Session) -> None:
    other = site.vcenter.hosts[world.OTHER_HOST]
    host = find_host(session, find_disk(session, world.PLAIN_VM, world.PLAIN_DISK), other)
    assert (host.id, host.name) == (other, world.OTHER_HOST)


def test_a_migration_host_that_is_not_there(session: Session) -> None:
    disk = find_disk(session, world.PLAIN_VM, world.PLAIN_DISK)
    with pytest.raises(VsphereError, match="no ESXi host host-9999"):
        find_host(session, disk, "host-9999")


def test_a_migration_host_without_the_datastore_is_told_which_hosts_have_it(
    site: Site, session: Session
) -> None:
    disk = find_disk(session, world.LOCAL_VM, world.LOCAL_DISK)
    with pytest.raises(VsphereError, match="does not have datastore 'local' mounted") as caught:
        find_host(session, disk, site.vcenter.hosts[world.OTHER_HOST])
    assert f"a migration host that has it: {site.host.name} ({site.host.moid}); or" in caught.value.hint


@pytest.mark.parametrize(
    ("datastore", "names"),
    [("ds one", {world.PLAIN_HOST, world.OTHER_HOST}), ("local", {world.PLAIN_HOST})],
)
def test_the_hosts_that_have_a_datastore(
    site: Site, session: Session, datastore: str, names: set[str]
) -> None:
    found = hosts_of(session, site.vcenter.datastores[datastore])
    assert found == {site.vcenter.hosts[name]: name for name in names}


def test_a_vm_on_no_host_needs_a_migration_host(site: Site, session: Session) -> None:
    disk = replace(find_disk(session, world.PLAIN_VM, world.PLAIN_DISK), host="")
    assert find_host(session, disk).id == site.host.moid, "asked for once more"
    assert find_host(session, disk, site.vcenter.hosts[world.OTHER_HOST]).name == world.OTHER_HOST


@pytest.mark.parametrize("state", ["disconnected", "notResponding"])
def test_a_host_that_is_not_connected(site: Site, session: Session, state: str) -> None:
    site.vcenter.set_host(site.host.moid, connection_state=state)  # type: ignore[arg-type]
    with pytest.raises(VsphereError, match=f"vCenter says it is {state}"):
        find_host(session, find_disk(session, world.PLAIN_VM, world.PLAIN_DISK))


def test_a_host_in_maintenance_mode(site: Site, session: Session) -> None:
    site.vcenter.set_host(site.host.moid, in_maintenance_mode=True)
    with pytest.raises(VsphereError, match="maintenance mode"):
        find_host(session, find_disk(session, world.PLAIN_VM, world.PLAIN_DISK))


def test_boot_time_changes_with_a_restart_only(site: Site, session: Session) -> None:
    before = boot_time(session, site.host.moid)
    assert before == boot_time(session, site.host.moid)
    site.host.restart()
    assert boot_time(session, site.host.moid) != before


# esxcli


def test_one_command_is_one_call(site: Site, esxcli: Esxcli) -> None:
    for _ in range(3):
        assert esxcli.ask("system version get")[0]["Product"]
    assert site.labels() == ["RetrieveManagedMethodExecuter", *["esxcli system.version.get"] * 3]


def test_rows_of_a_list(site: Site, esxcli: Esxcli) -> None:
    rows = esxcli.ask("storage core adapter list")
    assert [row["HBAName"] for row in rows] == [adapter.device for adapter in site.host.adapters]


def test_values_arrive_as_they_were_given(site: Site, esxcli: Esxcli) -> None:
    odd = "<a> & \"b\" 'c' ünï 🐍 ]]>"
    with pytest.raises(EsxcliFault):
        esxcli.run("storage core device list", device=odd)
    assert site.host.calls[-1].arguments == {"device": odd}


def test_a_namespace_that_is_not_there(esxcli: Esxcli) -> None:
    with pytest.raises(EsxcliNotFound) as caught:
        esxcli.run("no such get")
    assert not caught.value.unclear


def test_a_command_that_fails_tells_the_hosts_words(esxcli: Esxcli) -> None:
    with pytest.raises(EsxcliFault, match="Unable to find device") as caught:
        esxcli.run("storage core device set", device="naa.1", state="off")
    assert not caught.value.unclear


def test_a_hostd_that_is_away_is_a_passing_fault(site: Site, esxcli: Esxcli) -> None:
    esxcli.ask("system version get")
    site.host.hostd_restart(1.0)
    with pytest.raises(VcenterFault) as caught:
        esxcli.run("system version get")
    assert caught.value.passing
    assert caught.value.unclear
    assert esxcli.ask("system version get")


def test_a_disconnected_host_is_refused(site: Site, esxcli: Esxcli) -> None:
    site.vcenter.set_host(site.host.moid, connection_state="disconnected")
    with pytest.raises(VcenterFault, match="HostNotConnected") as caught:
        esxcli.run("system version get")
    assert not caught.value.unclear


# Devices


def test_a_mapped_lun_becomes_a_device_by_one_rescan(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    device = devices.discover(lun.naa, SIZE, slot)
    assert (device.name, device.is_on, device.size_mib) == (lun.naa, True, SIZE >> 20)
    assert site.labels().count("esxcli storage.core.adapter.rescan") == 1
    assert slot.steps == ["rescan"]
    assert slot.journal["device"] == lun.naa


def test_a_device_that_is_there_and_on_costs_no_rescan(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    devices.discover(lun.naa, SIZE, slot)
    assert site.labels() == ["RetrieveManagedMethodExecuter", "esxcli storage.core.device.list"]
    assert slot.steps == []


def test_a_device_that_is_off_is_brought_back(
    site: Site, devices: Devices, slot: Slot, esxcli: Esxcli
) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    esxcli.run("storage core device set", device=lun.naa, state="off")
    assert devices.discover(lun.naa, SIZE, slot).is_on
    assert not site.host.detached


def test_a_device_detached_long_ago_is_brought_back(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    site.host.detached.add(lun.naa)
    assert devices.discover(lun.naa, SIZE, slot).is_on
    assert not site.host.detached


def test_a_device_with_dead_paths_is_found_again(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    site.san.unmap(lun.naa, GROUP)
    assert site.host.device_status(lun.naa) == "dead timeout"
    site.map(lun, lun_id=8)
    assert devices.discover(lun.naa, SIZE, slot).is_on


def test_a_dead_path_of_another_lun_under_the_same_id_is_cleared(
    site: Site, devices: Devices, slot: Slot
) -> None:
    old = site.lun(lun_id=7)
    site.host.stack.add(site.host.adapters)
    site.san.unmap(old.naa, GROUP)
    new = site.lun(lun_id=7)
    assert devices.discover(new.naa, SIZE, slot).is_on


def test_a_lun_id_the_host_cannot_see_is_an_error_that_says_so(
    site: Site, devices: Devices, slot: Slot
) -> None:
    lun = site.lun(lun_id=site.host.max_lun)
    began = time.monotonic()
    with pytest.raises(VsphereError, match="did not appear") as caught:
        devices.discover(lun.naa, SIZE, slot)
    assert "Disk.MaxLUN" in caught.value.hint
    assert time.monotonic() - began < 60
    assert site.host.max_overlap <= NEVER_TWICE


def test_a_device_that_is_too_small_is_refused(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun(size=SIZE // 2)
    with pytest.raises(VsphereError, match="but the disk has 8 MiB"):
        devices.discover(lun.naa, SIZE, slot)
    site.map(odd := site.lun(mapped=False, size=SIZE + 512), lun_id=9)
    assert devices.discover(odd.naa, SIZE + 512, slot)


def test_a_rescan_whose_answer_is_lost_is_looked_behind(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    site.ledger.reset(lambda call: "after" if "rescan" in call.label else None)
    assert devices.discover(lun.naa, SIZE, slot).is_on
    assert site.labels().count("esxcli storage.core.adapter.rescan") == 1


def test_detach_and_forget_leave_no_trace(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    adapters = [ISCSI, Adapter("vmhba2", Initiator(InitiatorKind.FC, "20000025b5aa0001"))]
    devices.discover(lun.naa, SIZE, slot)
    devices.detach(lun.naa, slot)
    assert site.host.device_status(lun.naa) == "off"
    assert not site.host.detached
    site.san.unmap(lun.naa, GROUP)
    devices.forget(lun.naa, adapters, slot)
    assert devices.visible(lun.naa) is None
    assert not site.host.unclean
    rescans = [call.arguments for call in site.host.calls if call.command.endswith("rescan")]
    assert rescans == [
        {"type": "add", "all": "1"},
        {"type": "delete", "adapter": "vmhba64"},
    ]  # the other had no path


def test_taking_away_what_never_came_is_harmless(site: Site, devices: Devices, slot: Slot) -> None:
    devices.detach("naa.1", slot)
    devices.forget("naa.1", [ISCSI], slot)
    assert slot.steps == []
    assert set(site.labels()[1:]) == {
        "esxcli storage.core.device.list",
        "esxcli storage.core.device.detached.list",
    }


def test_a_busy_device_is_not_detached(
    site: Site, devices: Devices, slot: Slot, cloner: Cloner, clock: Clock
) -> None:
    lun = site.lun()
    device = devices.discover(lun.naa, SIZE, slot)
    site.host.copy_seconds = 3.0
    assert devices.busy(lun.naa) == ()
    copy = threading.Thread(target=lambda: start_copy(site, device.path))
    copy.start()
    assert soon(lambda: site.host.running_copies == [lun.naa])
    assert devices.busy(lun.naa) == ("vmkfstools",)
    devices.detach(lun.naa, slot)  # waits until it is free
    assert not site.host.running_copies
    copy.join()


def test_a_device_that_stays_in_use_is_told_as_such(
    site: Site, devices: Devices, slot: Slot, clock: Clock
) -> None:
    lun = site.lun()
    device = devices.discover(lun.naa, SIZE, slot)
    site.host.copy_seconds = 3.0
    start_copy(site, device.path)
    with clock.grace(26.0, within=0.5), pytest.raises(CopyMayBeRunning, match="vmkfstools has it open"):
        devices.detach(lun.naa, slot)
    assert site.host.device_status(lun.naa) == "on"
    assert soon(lambda: not site.host.running_copies)


def out_of_resources() -> Result:
    raise failed("Out of resources")


def unknown_command() -> Result:
    raise not_found()


ODD_ANSWERS: dict[str, Callable[[], Result]] = {
    "a fault": out_of_resources,
    "not found": unknown_command,
    "rows without fields": lambda: Rows("Odd", [{}]),
    "rows of something else": lambda: Rows("Odd", [{"Weather": "fine"}]),
    "no list": Done,
}
DEVICE_LIST, WORLD_LIST = "storage core device list", "storage core device world list"
DETACHED_LIST = "storage core device detached list"


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_only_a_whole_list_without_it_says_that_a_device_is_absent(
    site: Site, devices: Devices, clock: Clock, odd: str
) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    site.host.instead[DEVICE_LIST] = ODD_ANSWERS[odd]
    with clock.grace(26.0, within=0.3), pytest.raises(VsphereError):
        devices.visible(lun.naa)
    with clock.grace(26.0, within=0.3), pytest.raises(CopyMayBeRunning, match="not known"):
        devices.see_idle(lun.naa)


def test_a_host_that_lists_no_device_at_all_is_not_believed(
    site: Site, devices: Devices, clock: Clock
) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    site.host.instead[DEVICE_LIST] = lambda: Rows("ScsiDevice", [])
    with clock.grace(26.0, within=0.3), pytest.raises(VsphereError, match="no storage device at all"):
        devices.visible(lun.naa)


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_a_device_whose_users_the_host_does_not_list_may_be_in_use(
    site: Site, devices: Devices, clock: Clock, slot: Slot, odd: str
) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    site.host.instead[WORLD_LIST] = ODD_ANSWERS[odd]
    with clock.grace(26.0, within=0.3), pytest.raises(VsphereError):
        devices.busy(lun.naa)
    for ask in (devices.see_idle, devices.ensure_idle, lambda naa: devices.detach(naa, slot)):
        with clock.grace(26.0, within=0.3), pytest.raises(CopyMayBeRunning, match="not known"):
            ask(lun.naa)
    assert site.host.device_status(lun.naa) == "on"


@pytest.mark.parametrize("command", [DEVICE_LIST, WORLD_LIST])
@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_a_fault_that_passes_is_waited_out(site: Site, devices: Devices, command: str, odd: str) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    site.host.openers[lun.naa] = ("hostd",)

    def once() -> Result:
        del site.host.instead[command]
        return ODD_ANSWERS[odd]()

    site.host.instead[command] = once
    assert devices.busy(lun.naa) == ("hostd",)


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_a_detached_list_that_cannot_be_read_is_told(
    site: Site, devices: Devices, clock: Clock, slot: Slot, odd: str
) -> None:
    site.host.instead[DETACHED_LIST] = ODD_ANSWERS[odd]
    with clock.grace(26.0, within=0.3), pytest.raises(VsphereError):
        devices.forget("naa.1", [], slot)


def test_a_device_that_stays_on_the_detached_list_is_told(site: Site, devices: Devices, slot: Slot) -> None:
    lun = site.lun()
    devices.discover(lun.naa, SIZE, slot)
    site.host.instead["storage core device detached remove"] = out_of_resources
    devices.detach(lun.naa, slot)
    site.san.unmap(lun.naa, GROUP)
    with pytest.raises(VsphereError, match="Out of resources"):
        devices.forget(lun.naa, [ISCSI], slot)
    assert site.host.detached == {lun.naa}
    site.host.instead.clear()
    devices.forget(lun.naa, [ISCSI], slot)
    assert site.host.detached == set()


def test_a_device_that_stays_after_its_dead_paths_were_to_go_is_told(
    site: Site, devices: Devices, slot: Slot
) -> None:
    lun = site.lun()
    devices.discover(lun.naa, SIZE, slot)
    devices.detach(lun.naa, slot)
    with pytest.raises(VsphereError, match="still has device"):
        devices.forget(lun.naa, [ISCSI], slot)


def test_a_device_that_was_taken_away_after_the_copy_was_not_seen_idle(
    site: Site, devices: Devices, esxcli: Esxcli
) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    devices.see_idle(lun.naa)
    esxcli.run("storage core device set", device=lun.naa, state="off")
    with pytest.raises(CopyMayBeRunning, match="taken away"):
        devices.see_idle(lun.naa)
    site.san.unmap(lun.naa, GROUP)
    site.host.stack.delete(site.host.adapters)
    with pytest.raises(CopyMayBeRunning, match="taken away"):
        devices.see_idle(lun.naa)


def test_what_something_lives_on_is_not_spare(site: Site, session: Session, esxcli: Esxcli) -> None:
    devices = Devices(esxcli, Clock(), lambda: datastore_extents(session))
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    devices.check_spare(lun.naa, devices.visible(lun.naa))
    for kind, words in (("fb", "VMFS"), ("FC", "core dumps"), ("f8", "own data")):
        site.host.partitions[lun.naa] = ("c", kind)
        with pytest.raises(VsphereError, match=words):
            devices.check_spare(lun.naa, devices.visible(lun.naa))
    site.host.extents[lun.naa] = "ds three"
    with pytest.raises(VsphereError, match="datastore ds three of host"):
        devices.check_spare(lun.naa, None)
    with pytest.raises(VsphereError, match="datastore fast-fc lies on it"):
        devices.check_spare(world.FC_LUN, None)
    with pytest.raises(VsphereError, match="booted from it"):
        Devices(esxcli, Clock()).check_spare(LOCAL, devices.visible(LOCAL))


@pytest.mark.parametrize("odd", ODD_ANSWERS)
@pytest.mark.parametrize("command", ["storage vmfs extent list", "storage core device partition list"])
def test_what_lives_on_a_device_is_not_guessed(
    site: Site, devices: Devices, clock: Clock, command: str, odd: str
) -> None:
    lun = site.lun()
    site.host.stack.add(site.host.adapters)
    site.host.instead[command] = ODD_ANSWERS[odd]
    with clock.grace(26.0, within=0.3), pytest.raises(VsphereError):
        devices.check_spare(lun.naa, devices.visible(lun.naa))


def start_copy(site: Site, target: str) -> None:
    """Start a copy behind our back, as another populator would."""
    clock = Clock()
    with site.session(clock) as session:
        esxcli = Esxcli(session, site.host.moid)
        esxcli.run(
            "vmkfstools clone", sourcevmdk="/vmfs/volumes/ds one/plain vm/data disk.vmdk", targetlun=target
        )


# Copies


@pytest.mark.parametrize(
    "path", [world.PLAIN_DISK, world.BASE, *(one for one in world.ODD_DISKS if "'" not in one)]
)
def test_copies_the_very_bytes(site: Site, devices: Devices, cloner: Cloner, slot: Slot, path: str) -> None:
    lun, told = site.lun(), list[int]()
    result = cloner.copy(path, devices.discover(lun.naa, SIZE, slot), slot, told.append)
    assert result == CopyResult(result.task_id, xcopy_used=True)
    assert same_bytes(site.disk(path), lun.path)
    assert told[-1] == 99
    assert told == sorted(told)
    assert not site.host.wrapper.tasks
    assert site.host.clones_started[lun.naa] == 1


def test_a_whole_run_needs_few_calls(site: Site, clock: Clock, slot: Slot) -> None:
    lun = site.lun(mapped=False)
    with site.session(clock) as session:
        session.login()
        disk = find_disk(session, site.vcenter.vms[world.PLAIN_VM], world.PLAIN_DISK)
        host = find_host(session, disk)
        esxcli = Esxcli(session, host.id, host.name)
        devices, cloner = (
            Devices(esxcli, clock),
            Cloner(Plugin(esxcli), lambda: boot_time(session, host.id), clock),
        )
        assert cloner.version().number == "0.3.3"
        site.map(lun)
        device = devices.discover(lun.naa, disk.capacity, slot)
        cloner.copy(disk.path, device, slot, lambda percent: None)
        devices.detach(lun.naa, slot)
        site.san.unmap(lun.naa, GROUP)
        devices.forget(lun.naa, host.adapters[:1], slot)
        assert devices.visible(lun.naa) is None
    besides = [label for label in site.labels() if label != "esxcli vmkfstools.taskGet"]
    assert len(besides) <= 26, besides  # the last two are this test's own look
    assert not site.host.harm
    assert not site.host.unclean


@pytest.mark.parametrize("fault", ["before", "after", "reset", "5xx"])
def test_a_clone_whose_answer_is_lost_is_never_made_again(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot, fault: str
) -> None:
    lun = site.lun()
    device = devices.discover(lun.naa, SIZE, slot)
    site.ledger.reset(lambda call: fault if call.label == "esxcli vmkfstools.clone" else None)
    with pytest.raises(CopyMayBeRunning):
        cloner.copy(world.PLAIN_DISK, device, slot, lambda percent: None)
    assert site.labels().count("esxcli vmkfstools.clone") == 1
    assert lun.naa in slot.left
    assert site.host.device_status(lun.naa) == "on"


def test_a_clone_refused_by_an_expired_session_is_made_after_a_new_login(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot
) -> None:
    lun = site.lun()
    device = devices.discover(lun.naa, SIZE, slot)

    def expire_before_the_clone(label: str) -> None:
        if label == "esxcli vmkfstools.clone" and site.labels().count(label) == 1:
            site.vcenter.expire_sessions()

    site.ledger.reset(lambda call: expire_before_the_clone(call.label))
    cloner.copy(world.PLAIN_DISK, device, slot, lambda percent: None)
    assert site.host.clones_started[lun.naa] == 1
    assert same_bytes(site.disk(world.PLAIN_DISK), lun.path)


@pytest.mark.parametrize("fault", ["before", "after", "reset", "5xx", "hang"])
def test_polls_that_fail_do_not_end_a_copy(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot, fault: str
) -> None:
    lun = site.lun()
    site.host.copy_seconds = 1.0
    device = devices.discover(lun.naa, SIZE, slot)
    polls = iter(range(1 if fault == "hang" else 3))
    site.ledger.reset(
        lambda call: fault if call.label.endswith("taskGet") and next(polls, None) is not None else None
    )
    cloner.copy(world.PLAIN_DISK, device, slot, lambda percent: None)
    assert same_bytes(site.disk(world.PLAIN_DISK), lun.path)


def test_hostd_and_session_may_go_away_in_mid_copy(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot
) -> None:
    lun = site.lun()
    site.host.copy_seconds = 2.0
    device = devices.discover(lun.naa, SIZE, slot)

    def disturb(percent: int) -> None:
        if percent > 20 and "disturbed" not in slot.steps:
            slot.steps.append("disturbed")
            site.host.hostd_restart(1.0)
            site.vcenter.expire_sessions()

    cloner.copy(world.PLAIN_DISK, device, slot, disturb)
    assert "disturbed" in slot.steps
    assert site.host.clones_started[lun.naa] == 1
    assert same_bytes(site.disk(world.PLAIN_DISK), lun.path)


def test_a_host_restarted_in_mid_copy(site: Site, devices: Devices, cloner: Cloner, slot: Slot) -> None:
    lun = site.lun()
    site.host.copy_seconds = 30.0
    device = devices.discover(lun.naa, SIZE, slot)
    restart = threading.Timer(0.7, site.host.restart, args=(1.0,))
    restart.start()
    with pytest.raises(CloneFailed, match="restarted in mid-copy"):
        cloner.copy(world.PLAIN_DISK, device, slot, lambda percent: None)
    restart.join()
    assert not slot.left


@pytest.mark.parametrize("failure_is_fault", [False, True])
def test_a_disk_locked_by_another_writer(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot, failure_is_fault: bool
) -> None:
    lun = site.lun()
    site.host.faults.locked.add(world.PLAIN_DISK)
    site.host.faults.failure_is_fault = failure_is_fault
    with pytest.raises(CloneFailed, match="locked by another writer"):
        cloner.copy(world.PLAIN_DISK, devices.discover(lun.naa, SIZE, slot), slot, lambda percent: None)
    assert not site.host.wrapper.tasks


@pytest.mark.parametrize("failure_is_fault", [False, True])
def test_a_start_the_host_refuses(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot, failure_is_fault: bool
) -> None:
    lun = site.lun()
    site.host.faults.refuse["clone"] = "Failed to create task directory /tmp/vmkfstools-wrapper-1"
    site.host.faults.failure_is_fault = failure_is_fault
    with pytest.raises(CloneFailed, match="did not start the copy"):
        cloner.copy(world.PLAIN_DISK, devices.discover(lun.naa, SIZE, slot), slot, lambda percent: None)
    assert not slot.left


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [({"full_from": SIZE // 2}, "no space left"), ({"failing_from": SIZE // 2}, "I/O error")],
)
def test_a_lun_that_fails_in_mid_copy(
    site: Site, devices: Devices, cloner: Cloner, slot: Slot, fault: dict[str, int], meaning: str
) -> None:
    lun, told = site.lun(), list[int]()
    site.san.set_fault(lun.naa, **fault)
    with pytest.raises(CloneFailed, match=meaning):
        cloner.copy(world.DATA_DISK, devices.discover(lun.naa, SIZE, slot), slot, told.append)
    assert 100 not in told


def test_a_copy_killed_on_the_host_is_none(site: Site, devices: Devices, cloner: Cloner, slot: Slot) -> None:
    lun = site.lun()
    site.host.faults.dies_at = 50
    with pytest.raises(CloneFailed, match="exit code 1"):
        cloner.copy(world.PLAIN_DISK, devices.discover(lun.naa, SIZE, slot), slot, lambda percent: None)


def test_a_host_without_the_plugin(site: Site, cloner: Cloner) -> None:
    site.host.plugin_installed = False
    with pytest.raises(VsphereError, match="no vmkfstools plugin") as caught:
        cloner.version()
    assert "VIB" in caught.value.hint


def test_a_copy_silent_to_its_end_succeeds(site: Site, devices: Devices, cloner: Cloner, slot: Slot) -> None:
    lun = site.lun()
    site.host.faults.silent, site.host.xcopy = True, None
    result = cloner.copy(world.PLAIN_DISK, devices.discover(lun.naa, SIZE, slot), slot, lambda percent: None)
    assert result.xcopy_used is None
    assert same_bytes(site.disk(world.PLAIN_DISK), lun.path)
