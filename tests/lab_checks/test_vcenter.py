"""The lab's vCenter keeps what it promises to clients that know nothing of ours: pyVmomi, govmomi, plain HTTP."""

import http.client
import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from pyVim.connect import SmartConnect
from pyVmomi import SoapStubAdapter, vim, vmodl

from tests.lab.govc import Govc
from tests.lab.pki import Pki
from tests.lab.tools import tool
from tests.lab.vcenter import (
    AdapterSpec,
    DatastoreSpec,
    DiskSpec,
    HostSpec,
    LinkSpec,
    PathSpec,
    VCenter,
    VmSpec,
)

USER, PASSWORD = "operator@vsphere.local", "correct-horse"
HOST, OTHER = "esx-1.lab", "esx-2.lab"
NAA, RDM = "naa.600a098038303044", "naa.600a098038303045"
SIZE = 1 << 20
CLI = "ha-cli-handler-storage-core-device"

Answer = dict[str, Any]


class Bridge:
    """Plays all hosts: `answer` is called for each forwarded call, several at once."""

    def __init__(self, path: Path) -> None:
        self.answer: Callable[[Answer], Answer] = lambda call: {"response": "<obj/>"}
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(bridge.answer(call)).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "vcsim"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(str(path), Handler)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Site:
    vcenter: VCenter
    bridge: Bridge
    ca_file: Path
    files: Path

    def login(self, password: str = PASSWORD) -> Any:
        context = self.vcenter.client_context()
        return SmartConnect(
            host="127.0.0.1", port=self.vcenter.port, user=USER, pwd=password, sslContext=context
        )

    def http(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.vcenter.port, timeout=30, context=self.vcenter.client_context()
        )
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def execute(self, si: Any, moid: str = CLI, host: str = HOST, **arguments: str) -> ElementTree.Element:
        """Call ExecuteSoap as it looks on the wire; return the body's only child, an answer or a fault."""
        given = "".join(
            f"<argument><name>{name}</name><val>{escape(value)}</val></argument>"
            for name, value in arguments.items()
        )
        text = (
            '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><ExecuteSoap xmlns="urn:vim25">'
            f'<_this type="ManagedMethodExecuter">{self.vcenter.hosts[host]}</_this><moid>{moid}</moid>'
            "<version>urn:vim25/5.0</version><method>vim.EsxCLI.storage.core.device.list</method>"
            f"{given}</ExecuteSoap></Body></Envelope>"
        )
        _, body = self.http("POST", "/sdk", text.encode(), Cookie=session_cookie(si))
        envelope = ElementTree.fromstring(body)  # noqa: S314 - from our own vcsim
        return envelope[0][0]


def session_cookie(si: Any) -> str:
    return str(si._stub.cookie).partition(";")[0]


def managed(kind: Any, moid: str, stub: Any) -> Any:
    """Return a managed object, untyped: pyVmomi's stubs make every property optional."""
    return kind(moid, stub)


def find(tree: ElementTree.Element, name: str) -> ElementTree.Element:
    return next(element for element in tree.iter() if element.tag.rpartition("}")[2] == name)


def fault_kind(answer: ElementTree.Element) -> str:
    return find(answer, "detail")[0].get("{http://www.w3.org/2001/XMLSchema-instance}type", "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("vc")
    pki = Pki(directory / "pki")
    for name in ("ds one", "ds [two]", "vvols", "nfs", "vsan"):
        (directory / name).mkdir()
    iscsi = AdapterSpec("vmhba64", "iscsi", initiator="iqn.1998-01.com.vmware:esx-1")
    fc = AdapterSpec("vmhba2", "fc", wwnn="20000025b5000001", wwpn="f0000025b5aa0001", status="offline")
    socket = directory / "esxcli.sock"
    bridge = Bridge(socket)
    chain = tuple(f"[ds one] vm a/{name}.vmdk" for name in ("d-000002", "d-000001", "d"))
    disks = (
        DiskSpec(
            chain[0],
            SIZE,
            parents=(LinkSpec(chain[1]), LinkSpec(chain[2], SIZE // 2, allocated=4096)),
            encrypted=True,
        ),
        DiskSpec("[vvols] rfc4122.1/v.vmdk", SIZE, "vvol", backing_object_id="rfc4122.2"),
        DiskSpec("[ds [two]] r/r.vmdk", SIZE, "rdm", device_name=RDM),
    )
    try:
        with VCenter(
            directory=directory,
            cert=pki.issue("vcenter"),
            ca_pem=pki.ca_pem,
            username=USER,
            password=PASSWORD,
            esxcli_socket=socket,
            hosts=(HostSpec(HOST, (iscsi, fc)), HostSpec(OTHER, (iscsi,))),
            datastores=(
                DatastoreSpec(
                    "ds one",
                    directory / "ds one",
                    (HOST, OTHER),
                    NAA,
                    paths=(PathSpec("vmhba64"), PathSpec("vmhba2", "standby")),
                ),
                DatastoreSpec("ds [two]", directory / "ds [two]", (HOST,), NAA),
                DatastoreSpec("vvols", directory / "vvols", (HOST,)),
                DatastoreSpec("nfs", directory / "nfs", (HOST,), kind="NFS"),
                DatastoreSpec("vsan", directory / "vsan", (HOST,), kind="vsan"),
            ),
            vms=(VmSpec("vm-a", HOST, disks, powered_on=True), VmSpec("vm-b", OTHER)),
        ) as vcenter:
            yield Site(vcenter, bridge, pki.ca_file, directory)
    finally:
        bridge.close()


@pytest.fixture
def si(site: Site) -> Any:
    return site.login()


def test_only_the_right_password_logs_in(site: Site) -> None:
    assert site.login().content.about.apiType == "VirtualCenter"
    with pytest.raises(vim.fault.InvalidLogin):
        site.login("wrong")


def test_without_a_session_the_inventory_is_closed(site: Site) -> None:
    context = site.vcenter.client_context()
    stub = SoapStubAdapter(host="127.0.0.1", port=site.vcenter.port, sslContext=context)
    with pytest.raises(vim.fault.NotAuthenticated):
        _ = managed(vim.VirtualMachine, site.vcenter.vms["vm-a"], stub).name


def test_the_inventory_is_what_was_configured_and_nothing_else(site: Site, si: Any) -> None:
    view = si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.ManagedEntity], True)
    of_kind: dict[type, dict[str, str]] = {}
    for entity in view.view:
        of_kind.setdefault(type(entity), {})[entity.name] = entity._moId
    assert of_kind[vim.HostSystem] == site.vcenter.hosts
    assert of_kind[vim.VirtualMachine] == site.vcenter.vms
    assert of_kind[vim.Datastore] == site.vcenter.datastores
    assert all(moid.startswith("host-") for moid in site.vcenter.hosts.values())


def test_a_host_has_its_adapters_and_paths(site: Site, si: Any) -> None:
    storage = managed(vim.HostSystem, site.vcenter.hosts[HOST], si._stub).config.storageDevice
    iscsi, fc = storage.hostBusAdapter
    assert (iscsi.device, iscsi.iScsiName) == ("vmhba64", "iqn.1998-01.com.vmware:esx-1")
    assert (iscsi.status, fc.status) == ("online", "offline")
    assert fc.nodeWorldWideName == 0x20000025B5000001
    assert fc.portWorldWideName == 0xF0000025B5AA0001 - (1 << 64), "64 bits, read as a signed number"
    luns = {lun.canonicalName: lun for lun in storage.scsiLun}
    assert luns.keys() == {NAA, RDM}
    unit = next(unit for unit in storage.multipathInfo.lun if unit.lun == luns[NAA].key)
    assert [(path.adapter, path.state, path.pathState) for path in unit.path] == [
        (iscsi.key, "active", "active"),
        (fc.key, "standby", "standby"),
    ]
    other = managed(vim.HostSystem, site.vcenter.hosts[OTHER], si._stub).config.storageDevice
    assert [len(unit.path) for unit in other.multipathInfo.lun] == [1], "no path without its adapter"


def test_datastores_are_of_every_kind(site: Site, si: Any) -> None:
    infos = {
        name: managed(vim.Datastore, moid, si._stub).info for name, moid in site.vcenter.datastores.items()
    }
    assert [extent.diskName for extent in infos["ds one"].vmfs.extent] == [NAA]
    assert infos["ds one"].name == "ds one"
    assert isinstance(infos["vvols"], vim.host.VvolDatastoreInfo)
    assert isinstance(infos["nfs"], vim.host.NasDatastoreInfo)
    types = {
        name: managed(vim.Datastore, moid, si._stub).summary.type
        for name, moid in site.vcenter.datastores.items()
    }
    assert types == {"ds one": "VMFS", "ds [two]": "VMFS", "vvols": "VVOL", "nfs": "NFS", "vsan": "vsan"}


def test_disks_are_a_chain_a_vvol_and_a_raw_mapping(site: Site, si: Any) -> None:
    vm = managed(vim.VirtualMachine, site.vcenter.vms["vm-a"], si._stub)
    disks: list[Any] = [d for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
    assert [disk.capacityInBytes for disk in disks] == [SIZE] * 3
    chain, vvol, rdm = (disk.backing for disk in disks)
    assert (chain.keyId.keyId, chain.parent.keyId.keyId, vvol.keyId) == ("1", "1", None)
    assert chain.fileName == "[ds one] vm a/d-000002.vmdk"
    assert chain.parent.fileName == "[ds one] vm a/d-000001.vmdk"
    assert chain.parent.parent.fileName == "[ds one] vm a/d.vmdk"
    assert chain.parent.parent.parent is None
    assert (vvol.backingObjectId, vvol.datastore.name) == ("rfc4122.2", "vvols")
    assert (rdm.compatibilityMode, rdm.datastore.name) == ("physicalMode", "ds [two]")
    storage = managed(vim.HostSystem, site.vcenter.hosts[HOST], si._stub).config.storageDevice
    assert [lun.canonicalName for lun in storage.scsiLun if lun.uuid == rdm.lunUuid] == [RDM]
    sizes = {file.name: file.size for file in vm.layoutEx.file}
    assert sizes["[ds one] vm a/d-flat.vmdk"] == 4096
    assert sizes["[vvols] rfc4122.1/v-flat.vmdk"] == SIZE


def test_snapshots_show_the_links_that_they_froze(site: Site, si: Any) -> None:
    [first] = managed(vim.VirtualMachine, site.vcenter.vms["vm-a"], si._stub).rootSnapshot
    [second] = first.childSnapshot
    devices: list[Any] = [*first.config.hardware.device, *second.config.hardware.device]
    frozen = [(d.backing.fileName, d.capacityInBytes) for d in devices if hasattr(d, "capacityInBytes")]
    assert frozen == [("[ds one] vm a/d.vmdk", SIZE // 2), ("[ds one] vm a/d-000001.vmdk", SIZE)]


def test_whole_properties_can_be_read(site: Site, si: Any) -> None:
    """pyVmomi refuses a whole object for one enum without a value, and vcsim leaves some empty."""
    vm = managed(vim.VirtualMachine, site.vcenter.vms["vm-a"], si._stub)
    assert (vm.runtime.powerState, vm.runtime.host._moId) == ("poweredOn", site.vcenter.hosts[HOST])
    assert vm.summary.runtime.powerState == "poweredOn"
    assert vm.snapshot.rootSnapshotList[0].childSnapshotList[0].snapshot == vm.snapshot.currentSnapshot
    other = managed(vim.VirtualMachine, site.vcenter.vms["vm-b"], si._stub)
    assert other.runtime.powerState == "poweredOff"
    host = managed(vim.HostSystem, site.vcenter.hosts[HOST], si._stub)
    assert host.runtime.connectionState == host.summary.runtime.connectionState == "connected"


def test_datastore_files_are_served_to_those_who_log_in(site: Site, si: Any) -> None:
    path = f"/folder/{quote('odd/ä b.txt')}?{urlencode({'dcPath': 'DC0', 'dsName': 'ds [two]'})}"
    assert site.http("PUT", path, b"bytes")[0] == 401
    assert site.http("PUT", path, b"bytes", Cookie=session_cookie(si))[0] == 200
    assert (site.files / "ds [two]" / "odd" / "ä b.txt").read_bytes() == b"bytes"
    assert site.http("GET", path, Cookie=session_cookie(si)) == (200, b"bytes")


def test_an_esxcli_call_is_forwarded_and_answered(site: Site, si: Any) -> None:
    calls: list[Answer] = []

    def answer(call: Answer) -> Answer:
        calls.append(call)
        return {"response": "<obj>a &amp; b</obj>"}

    site.bridge.answer = answer
    value = '<device xmlns="urn:vim25">naa.1 &amp; x</device>'
    reply = site.execute(si, device=value)
    assert find(reply, "response").text == "<obj>a &amp; b</obj>"
    assert calls == [
        {
            "host": site.vcenter.hosts[HOST],
            "moid": CLI,
            "version": "urn:vim25/5.0",
            "method": "vim.EsxCLI.storage.core.device.list",
            "arguments": [{"name": "device", "val": value}],
        }
    ]


def test_faults_of_a_command_and_of_the_connection_differ(site: Site, si: Any) -> None:
    site.bridge.answer = lambda call: {"fault": {"faultMsg": "not found", "faultDetail": "<obj>detail</obj>"}}
    reply = site.execute(si)
    assert find(reply, "faultMsg").text == "not found"
    assert find(reply, "faultDetail").text == "<obj>detail</obj>"
    for kind in ("HostCommunication", "NotAuthenticated", "Timedout"):
        told = {"soapFault": kind, "message": "as told"}
        site.bridge.answer = lambda call, told=told: told  # type: ignore[misc]
        reply = site.execute(si)
        assert (fault_kind(reply), find(reply, "faultstring").text) == (kind, "as told")


def test_two_calls_to_one_host_overlap(site: Site, si: Any) -> None:
    both = threading.Barrier(2, timeout=30)

    def answer(call: Answer) -> Answer:
        both.wait()  # breaks, and fails the test, unless the other call is under way too
        return {"response": "<obj>met</obj>"}

    site.bridge.answer = answer
    replies: list[ElementTree.Element] = []
    threads = [threading.Thread(target=lambda: replies.append(site.execute(si))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [find(reply, "response").text for reply in replies] == ["<obj>met</obj>"] * 2


def test_govmomis_own_client_runs_a_command_that_is_passed_on(site: Site) -> None:
    site.bridge.answer = lambda call: {"pass": True}
    govc = Govc(site.vcenter.url, USER, PASSWORD, site.ca_file)
    rows = govc.esxcli(site.vcenter.hosts[HOST], "software", "vib", "get", "--vibname", "esx-ui")
    assert [row["Name"] for row in rows] == [["esx-ui"]]


def test_a_host_can_be_changed(site: Site, si: Any) -> None:
    host = managed(vim.HostSystem, site.vcenter.hosts[OTHER], si._stub)
    boot = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    site.vcenter.set_host(OTHER, boot_time=boot, in_maintenance_mode=True)
    assert (host.runtime.bootTime, host.runtime.inMaintenanceMode) == (boot, True)
    assert host.runtime.connectionState == "connected", "what is not named stays"
    for state, kind in (("disconnected", "HostNotConnected"), ("notResponding", "HostCommunication")):
        site.vcenter.set_host(host._moId, connection_state=state)  # type: ignore[arg-type]
        assert host.runtime.connectionState == state
        assert fault_kind(site.execute(si, host=OTHER)) == kind
    site.vcenter.set_host(OTHER, connection_state="connected", in_maintenance_mode=False)
    assert find(site.execute(si, host=OTHER), "ExecuteSoapResponse") is not None
    with pytest.raises(RuntimeError, match="no host"):
        site.vcenter.set_host("host-0", in_maintenance_mode=True)


def test_a_vm_can_be_changed(site: Site, si: Any) -> None:
    vm = managed(vim.VirtualMachine, site.vcenter.vms["vm-b"], si._stub)
    site.vcenter.set_vm("vm-b", connection_state="orphaned", power_state="suspended")
    assert (vm.runtime.connectionState, vm.runtime.powerState) == ("orphaned", "suspended")
    site.vcenter.set_vm("vm-b", connection_state="connected")
    assert (vm.runtime.connectionState, vm.runtime.powerState) == ("connected", "suspended")
    with pytest.raises(RuntimeError, match="no VM"):
        site.vcenter.set_vm("vm-0", power_state="poweredOff")


def test_properties_can_be_withheld_for_want_of_a_privilege(site: Site, si: Any) -> None:
    moid = site.vcenter.vms["vm-a"]
    site.vcenter.withhold((moid, "runtime", "System.Read"), ("vm-0", "name", "System.View"))
    answer = collected(
        si, managed(vim.VirtualMachine, moid, si._stub), "name", "runtime.host", "runtime.bootTime"
    )
    assert {item.name for item in answer.propSet} == {"name"}
    missing = {item.path: item.fault for item in answer.missingSet}
    assert missing.keys() == {"runtime.host", "runtime.bootTime"}, "also of what has no value"
    fault: Any = missing["runtime.host"]
    assert (fault.privilegeId, fault.object._moId) == ("System.Read", moid)
    assert isinstance(fault, vim.fault.NoPermission)
    site.vcenter.withhold()
    assert not collected(si, managed(vim.VirtualMachine, moid, si._stub), "runtime.host").missingSet


def test_privileges_can_be_taken_away(site: Site, si: Any) -> None:
    moid, other = site.vcenter.hosts[HOST], site.vcenter.hosts[OTHER]
    entities = [managed(vim.HostSystem, each, si._stub) for each in (moid, other)]
    manager, key = si.content.authorizationManager, si.content.sessionManager.currentSession.key
    site.vcenter.deny((moid, "Host.Config.Storage"))
    answers = manager.HasPrivilegeOnEntities(entities, key, ["Global.Settings", "Host.Config.Storage"])
    granted = {
        (answer.entity._moId, each.privId): each.isGranted
        for answer in answers
        for each in answer.privAvailability
    }
    assert [name for name, is_granted in granted.items() if not is_granted] == [(moid, "Host.Config.Storage")]
    site.vcenter.deny((moid, "System.Read"))
    with pytest.raises(vim.fault.NoPermission) as caught:
        manager.HasPrivilegeOnEntities(entities, key, ["Global.Settings"])
    fault: Any = caught.value
    assert (fault.privilegeId, fault.object._moId) == ("System.Read", moid)
    site.vcenter.deny()
    assert manager.HasPrivilegeOnEntities(entities, key, ["Global.Settings"])


def test_esxcli_takes_a_privilege_on_its_host(site: Site, si: Any) -> None:
    site.vcenter.deny((site.vcenter.hosts[HOST], "Global.Settings"))
    try:
        assert fault_kind(site.execute(si)) == "NoPermission"
        assert find(site.execute(si, host=OTHER), "returnval") is not None
    finally:
        site.vcenter.deny()


def test_a_host_has_a_clock_of_its_own(site: Site, si: Any) -> None:
    host = managed(vim.HostSystem, site.vcenter.hosts[HOST], si._stub)
    clock = host.configManager.dateTimeSystem
    assert abs((clock.QueryDateTime() - datetime.now(UTC)).total_seconds()) < 60
    site.vcenter.set_host(HOST, clock_offset=-3600)
    try:
        assert 3540 < (datetime.now(UTC) - clock.QueryDateTime()).total_seconds() < 3660
    finally:
        site.vcenter.set_host(HOST, clock_offset=0)


def collected(si: Any, target: Any, *paths: str) -> Any:
    """Ask the property collector for properties of one object."""
    properties = vmodl.query.PropertyCollector.PropertySpec(type=type(target), pathSet=list(paths))
    spec = vmodl.query.PropertyCollector.FilterSpec(
        propSet=[properties], objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=target)]
    )
    collector = managed(vmodl.query.PropertyCollector, "propertyCollector", si._stub)
    options = vmodl.query.PropertyCollector.RetrieveOptions()
    [answer] = collector.RetrievePropertiesEx([spec], options).objects
    return answer


def test_sessions_can_be_ended(site: Site) -> None:
    si = site.login()
    vm = managed(vim.VirtualMachine, site.vcenter.vms["vm-a"], si._stub)
    assert vm.name == "vm-a"
    site.vcenter.expire_sessions()
    with pytest.raises(vim.fault.NotAuthenticated):
        _ = vm.name
    with pytest.raises(vim.fault.NotAuthenticated):
        si.CurrentTime()
    assert fault_kind(site.execute(si)) == "NotAuthenticated"
    # A collector's answer has no value, and the fault beside it: a reader that looks at values only sees nothing.
    answer = collected(si, vm, "name")
    assert not answer.propSet
    assert isinstance(answer.missingSet[0].fault, vim.fault.NotAuthenticated)
    assert site.login().CurrentTime()


def test_it_ends_when_its_standard_input_closes(tmp_path: Path) -> None:
    cert = Pki(tmp_path / "pki").issue("vcenter")
    config = {
        "listen": "127.0.0.1:0",
        "certFile": str(cert.cert_file),
        "keyFile": str(cert.key_file),
        "username": USER,
        "password": PASSWORD,
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [str(tool("vcsim")), "--config", str(file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert json.loads(process.stdout.readline())["url"].startswith("https://127.0.0.1:")
        process.stdin.close()
        assert process.wait(30) == 0
    assert not list(tmp_path.glob("govcsim-*")), "its scratch folder is gone"


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    vcenter = VCenter(
        directory=tmp_path,
        cert=pki.issue("vcenter"),
        ca_pem=pki.ca_pem,
        username=USER,
        password=PASSWORD,
        hosts=(HostSpec(HOST),),
        vms=(VmSpec("lost", "no-such-host"),),
    )
    with pytest.raises(RuntimeError, match="VM lost: unknown host no-such-host"), vcenter:
        pass
    assert not (tmp_path / "vcsim.json").exists(), "it holds the password"
