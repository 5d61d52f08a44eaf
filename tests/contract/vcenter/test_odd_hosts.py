"""Hosts whose adapters are partly down, as vCenter reports them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from populator.clock import Clock
from populator.reach import repeat
from tests.lab.pki import Pki
from tests.lab.vcenter import AdapterSpec, DatastoreSpec, DiskSpec, HostSpec, PathSpec, VCenter, VmSpec
from vsphere.errors import VsphereError
from vsphere.model import Adapter, Initiator, InitiatorKind
from vsphere.vcenter.inventory import find_disk, find_host
from vsphere.vcenter.session import Session

USER, PASSWORD = "u", "a secret"
DISK = "[ds] {0}/{0}.vmdk"
IQN = "iqn.1998-01.com.vmware:esx"
UNPLUGGED = AdapterSpec("vmhba1", "fc", wwnn="20000025b5000001", wwpn="20000025b5aa0001", status="offline")
NAMELESS = AdapterSpec("vmhba2", "fc", wwnn="0" * 16, wwpn="0" * 16)
PLUGGED = AdapterSpec("vmhba3", "fc", wwnn="20000025b5000003", wwpn="20000025b5aa0003")
ISCSI = AdapterSpec("vmhba64", "iscsi", initiator=IQN)
GUID = "3F4B2C1D-6A5E-4B7C-8D9E-0F1A2B3C4D5E"
POWERFLEX = AdapterSpec("vmhba65", "sdc", initiator=GUID, wwnn="20000025b5000005", wwpn="20000025b5aa0005")
NO_GUID = AdapterSpec("vmhba65", "sdc", wwnn="20000025b5000005", wwpn="20000025b5aa0005")
HOSTS = {
    "fibre-unplugged": (UNPLUGGED, NAMELESS, ISCSI),
    "one-fibre-left": (UNPLUGGED, NAMELESS, PLUGGED),
    "both": (UNPLUGGED, ISCSI, PLUGGED),
    "nothing-left": (UNPLUGGED, NAMELESS),
    "powerflex": (ISCSI, POWERFLEX),
    "powerflex-unasked": (ISCSI, NO_GUID),
    "powerflex-alone": (UNPLUGGED, NO_GUID),
}


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VCenter, Pki]]:
    folder: Path = tmp_path_factory.mktemp("odd")
    (folder / "ds").mkdir()
    pki = Pki(folder / "pki")
    with VCenter(
        directory=folder,
        cert=pki.issue("vcenter"),
        ca_pem=pki.ca_pem,
        username=USER,
        password=PASSWORD,
        hosts=tuple(HostSpec(name, adapters) for name, adapters in HOSTS.items()),
        datastores=(DatastoreSpec("ds", folder / "ds", tuple(HOSTS), "naa.1", paths=(PathSpec("vmhba3"),)),),
        vms=tuple(VmSpec(name, name, (DiskSpec(DISK.format(name), 1 << 20),)) for name in HOSTS),
    ) as running:
        yield running, pki


@pytest.fixture
def session(vcenter: tuple[VCenter, Pki]) -> Iterator[Session]:
    running, pki = vcenter
    clock = Clock()
    with Session(
        "127.0.0.1", running.port, USER, PASSWORD, clock=clock, retry=repeat(clock), ca_pem=pki.ca_pem
    ) as session:
        yield session


@pytest.mark.parametrize(
    ("host", "offered"),
    [("fibre-unplugged", ["vmhba64"]), ("one-fibre-left", ["vmhba3"]), ("both", ["vmhba3", "vmhba64"])],
)
def test_what_is_down_or_nameless_is_not_offered(session: Session, host: str, offered: list[str]) -> None:
    found = find_host(session, find_disk(session, host, DISK.format(host)))
    assert [adapter.name for adapter in found.adapters] == offered
    names = {initiator.name for initiator in found.initiators}
    assert (UNPLUGGED.wwpn in names) == (UNPLUGGED in HOSTS[host])
    assert NAMELESS.wwpn not in names


def test_with_all_down_each_is_named_with_its_state(session: Session) -> None:
    disk = find_disk(session, "nothing-left", DISK.format("nothing-left"))
    with pytest.raises(VsphereError, match=r"Host nothing-left .* has no Fibre Channel or iSCSI") as caught:
        find_host(session, disk)
    assert "vmhba1 (Emulex LightPulse LPe32002, offline)" in caught.value.text
    assert "vmhba2 (Emulex LightPulse LPe32002, online, no initiator)" in caught.value.text


def test_powerflexs_client_is_known_by_its_guid_and_not_by_what_it_shows(session: Session) -> None:
    found = find_host(session, find_disk(session, "powerflex", DISK.format("powerflex")))
    client = Initiator(InitiatorKind.SDC, GUID.lower())
    assert Adapter("vmhba65", client) in found.adapters
    assert found.initiators == {Initiator(InitiatorKind.ISCSI, IQN), client}


def test_powerflexs_client_without_a_guid_is_left_out(session: Session) -> None:
    found = find_host(session, find_disk(session, "powerflex-unasked", DISK.format("powerflex-unasked")))
    assert [adapter.name for adapter in found.adapters] == ["vmhba64"]
    assert found.initiators == {Initiator(InitiatorKind.ISCSI, IQN)}


def test_a_host_of_nothing_but_powerflexs_client_is_told_how_its_guid_is_read(session: Session) -> None:
    disk = find_disk(session, "powerflex-alone", DISK.format("powerflex-alone"))
    with pytest.raises(VsphereError, match=r"vmhba65 \(scini, online, GUID not known\)") as caught:
        find_host(session, disk)
    assert "Host.Config.Settings" in caught.value.hint
