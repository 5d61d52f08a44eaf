"""A vCenter of one's own: vcsim as a process that serves the inventory described here.

The inventory is frozen values. What a client does over SOAP and the datastores' HTTP is stock vcsim; esxcli calls go to
the Unix socket of whoever plays the hosts (`esxi`). A test can change a host and end all sessions. The process ends
with the `with` block, and by itself when this one dies. Ids (`host-21`) are vcsim's and known once it runs.
"""

import dataclasses
import http.client
import json
import os
import select
import socket
import ssl
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tests.lab.pki import Cert
from tests.lab.tools import tool

START_DEADLINE = 60.0
STOP_DEADLINE = 10.0
CONTROL_TIMEOUT = 30.0

ConnectionState = Literal["connected", "disconnected", "notResponding"]
VmConnectionState = Literal["connected", "disconnected", "orphaned", "inaccessible", "invalid"]


@dataclass(frozen=True)
class AdapterSpec:
    """A storage adapter: iSCSI with an `initiator` (IQN), or FC with `wwnn` and `wwpn` of 16 hex digits.

    PowerFlex's client (`sdc`) shows itself like one of FC; its `initiator` is a GUID, an option of its kernel module.
    """

    device: str
    kind: Literal["iscsi", "fc", "sdc"]
    initiator: str = ""
    wwnn: str = ""
    wwpn: str = ""
    status: Literal["online", "offline", "unbound", "unknown"] = "online"


@dataclass(frozen=True)
class HostSpec:
    """An ESXi host."""

    name: str
    adapters: tuple[AdapterSpec, ...] = ()
    address: str = ""
    """of its management interface; empty: vCenter tells none"""


@dataclass(frozen=True)
class PathSpec:
    """A path to a datastore's device; a host without that adapter does not have it."""

    adapter: str
    state: Literal["active", "standby", "disabled", "dead"] = "active"


@dataclass(frozen=True)
class DatastoreSpec:
    """A datastore of the `kind` if given; else VMFS on the device `disk_name` (naa.…), or a VVol container without."""

    name: str
    directory: Path
    """its files; what HTTP GET and PUT on the datastore reads and writes"""
    hosts: tuple[str, ...]
    disk_name: str = ""
    capacity: int = 1 << 40
    paths: tuple[PathSpec, ...] = ()
    kind: Literal["", "NFS", "NFS41", "vsan"] = ""


@dataclass(frozen=True)
class LinkSpec:
    """A link of a chain that is not written to any more."""

    path: str
    capacity: int = 0
    """when it was frozen; 0: as the newest link's"""
    allocated: int | None = None
    """bytes that its extent takes, as layoutEx tells; None: a base takes its capacity, a delta 1 MiB"""
    backing_object_id: str = ""
    snapshot: bool = True
    """a snapshot of this VM froze it; else it is another VM's, as a linked clone's base"""


@dataclass(frozen=True)
class DiskSpec:
    """A virtual disk. With `parents` (outermost first, base last) `path` is the newest link of a chain."""

    path: str
    """`[datastore] folder/disk.vmdk`"""
    capacity: int
    kind: Literal["vmdk", "vvol", "rdm"] = "vmdk"
    backing_object_id: str = ""
    """of a VVol"""
    device_name: str = ""
    """of an RDM: the LUN's naa.… name, or a whole vml.… name for a LUN the host does not list"""
    compatibility_mode: Literal["", "physicalMode", "virtualMode"] = ""
    parents: tuple[LinkSpec, ...] = ()
    allocated: int | None = None
    """bytes that the extent of this link takes, see `LinkSpec`"""
    encrypted: bool = False
    """with all its parents"""


@dataclass(frozen=True)
class VmSpec:
    """A virtual machine."""

    name: str
    host: str
    disks: tuple[DiskSpec, ...] = ()
    powered_on: bool = False


class VCenter:
    """See the module. `directory` takes its working files; `esxcli_socket` None leaves esxcli to stock vcsim."""

    url: str
    port: int
    hosts: dict[str, str]
    """name -> managed object id, as are `vms` and `datastores`"""
    vms: dict[str, str]
    datastores: dict[str, str]

    def __init__(
        self,
        *,
        directory: Path,
        cert: Cert,
        ca_pem: str,
        username: str,
        password: str,
        hosts: tuple[HostSpec, ...],
        datastores: tuple[DatastoreSpec, ...] = (),
        vms: tuple[VmSpec, ...] = (),
        esxcli_socket: Path | None = None,
    ) -> None:
        self.ca_pem = ca_pem
        self._directory = directory
        self._control = directory / "vcsim-control.sock"
        self._log = directory / "vcsim.log"
        self._config = {
            "socket": str(self._control),
            "esxcliSocket": str(esxcli_socket or ""),
            "listen": "127.0.0.1:0",
            "certFile": str(cert.cert_file),
            "keyFile": str(cert.key_file),
            "username": username,
            "password": password,
            "hosts": [_json(host) for host in hosts],
            "datastores": [_json(datastore) for datastore in datastores],
            "vms": [_json(vm) for vm in vms],
        }

    def __enter__(self) -> Self:
        """Start vcsim and wait until it serves."""
        scratch = self._directory / "vcsim"
        scratch.mkdir(exist_ok=True)
        self._control.unlink(missing_ok=True)
        config = self._directory / "vcsim.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps(self._config))
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [tool("vcsim"), "--config", config],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TMPDIR": str(scratch)},
                start_new_session=True,  # Ctrl-C is for us; vcsim ends when its stdin does
            )
        try:
            ready = self._ready()
        except BaseException:
            self.close()
            raise
        finally:
            config.unlink()
        self.url, self.port = ready["url"], urlsplit(ready["url"]).port or 443
        self.hosts, self.vms, self.datastores = ready["hosts"], ready["vms"], ready["datastores"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End vcsim."""
        self.close()

    def close(self) -> None:
        """End vcsim; harmless when it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def set_host(
        self,
        host: str,
        *,
        boot_time: datetime | None = None,
        connection_state: ConnectionState | None = None,
        in_maintenance_mode: bool | None = None,
        boot_time_unknown: bool | None = None,
        clock_offset: float | None = None,
    ) -> None:
        """Change what vCenter says of a host, given by name or id; None leaves a fact as it is.

        `clock_offset` are the seconds by which the host's own clock is ahead.

        Unless a host is connected, vCenter refuses esxcli calls to it by HostNotConnected or HostCommunication.
        """
        change = {
            "bootTime": boot_time and boot_time.isoformat(),
            "connectionState": connection_state,
            "inMaintenanceMode": in_maintenance_mode,
            "bootTimeUnknown": boot_time_unknown,
            "clockOffset": clock_offset,
        }
        given = {key: value for key, value in change.items() if value is not None}
        self._post("/host", {"host": self.hosts.get(host, host), **given})

    def set_vm(
        self,
        vm: str,
        *,
        connection_state: VmConnectionState | None = None,
        power_state: Literal["poweredOn", "poweredOff", "suspended"] | None = None,
    ) -> None:
        """Change what vCenter says of a VM, given by name or id; None leaves a fact as it is."""
        change = {"connectionState": connection_state, "powerState": power_state}
        given = {key: value for key, value in change.items() if value is not None}
        self._post("/vm", {"vm": self.vms.get(vm, vm), **given})

    def withhold(self, *properties: tuple[str, str, str]) -> None:
        """Withhold these properties (object id or `*` for any task, path, privilege that the user lacks), no others.

        As on a real vCenter they are left out of the answer, with NoPermission in its missingSet.
        """
        names = ("object", "path", "privilege")
        self._post("/withhold", [dict(zip(names, one, strict=True)) for one in properties])

    def deny(self, *privileges: tuple[str, str]) -> None:
        """Take these privileges (object id, privilege) away from the user, and no others.

        They are missing where somebody asks for them, and esxcli calls to a host take Global.Settings, those that
        change its storage Host.Config.Storage, too.
        """
        names = ("object", "privilege")
        self._post("/deny", [dict(zip(names, one, strict=True)) for one in privileges])

    def expire_sessions(self) -> None:
        """End all sessions: the next call of each client is refused by NotAuthenticated.

        Not so RetrieveProperties(Ex), which as on a real vCenter answers with that fault in each `missingSet`.
        """
        self._post("/expire", {})

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts this vCenter."""
        return ssl.create_default_context(cadata=self.ca_pem)

    def _ready(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], START_DEADLINE)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            what = "ended at its start" if readable else f"did not serve within {START_DEADLINE:.0f} s"
            raise RuntimeError(f"vcsim {what}:\n{self._log.read_text()}")
        return dict(json.loads(line))

    def _post(self, path: str, body: Any) -> None:
        connection = _UnixConnection(str(self._control))
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.NO_CONTENT:
            raise RuntimeError(f"vcsim refused {path}: {text.strip()}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, file: str) -> None:
        super().__init__("localhost", timeout=CONTROL_TIMEOUT)
        self._file = file

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._file)


def _json(spec: Any) -> Any:
    """Return a spec in vcsim's spelling: camel case, and paths as text."""
    if dataclasses.is_dataclass(spec):
        return {_camel(f.name): _json(getattr(spec, f.name)) for f in dataclasses.fields(spec)}
    if isinstance(spec, tuple | list):
        return [_json(item) for item in spec]
    return str(spec) if isinstance(spec, Path) else spec


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
