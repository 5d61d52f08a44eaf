"""The whole lab, started in seconds and ended with the `with` block.

`Lab()` has two hosts or as many as are wanted, three datastores, VMs with all kinds of disks, one array of the vendor
`array`, and one cluster with two namespaces. `add_target` makes a PVC with a LUN behind it; `program` runs the
populator as Forklift would.
"""

import base64
import itertools
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from populator.storage.array import Volume
from populator.storage.registry import VENDORS
from tests.lab import arrays, world
from tests.lab.disks import flat_of, same_bytes, shown_by
from tests.lab.esxi import OURS, EsxcliServer, EsxiHost
from tests.lab.esxi.sshd import make_key
from tests.lab.faults import Ledger, proxy
from tests.lab.kube import Kube, start_kube
from tests.lab.pki import Pki
from tests.lab.program import Program
from tests.lab.san import San
from tests.lab.vcenter import DatastoreSpec, HostSpec, VCenter
from vsphere.host.ssh_keys import public_key
from vsphere.model import Initiator, InitiatorKind
from vsphere.wrapper import key_line

VCENTER_USER, VCENTER_PASSWORD = "administrator@vsphere.local", "vcenter-secret"
TARGET_NAMESPACE, LEASE_NAMESPACE = "vms", "openshift-mtv"


@dataclass(frozen=True)
class Target:
    """A PVC, and the LUN behind it."""

    pvc: str
    uid: str
    naa: str
    lun: Path
    volume: Volume
    """as the CSI driver describes it"""


class Lab:
    """See the module. `kube` is `simulated` or `real`, `proxied` puts the numbering proxies in front, and
    `plain_size` is the plain disk's in bytes. Labs that share a `pki` trust each other's services. `wrapper` is what
    the hosts run: ours by the name of a shell, or `STOCK`; `hosts` is their number.
    """

    def __init__(
        self,
        kube: str = "simulated",
        *,
        proxied: bool = True,
        plain_size: int = world.DISK_SIZE,
        pki: Pki | None = None,
        wrapper: str = OURS,
        array: str = "ontap",
        hosts: int = 2,
    ) -> None:
        self._kube_kind, self._proxied, self.plain_size, self._pki = kube, proxied, plain_size, pki
        self._vendor = array
        self._specs = world.hosts(hosts, sdc=InitiatorKind.SDC in VENDORS[array].initiators)
        self.wrapper = wrapper
        self._number, self._boots = itertools.count(1), itertools.count(1)
        self.ledger = Ledger()
        """all calls of the program to vCenter, array and API server"""

    def __enter__(self) -> Self:
        """Start everything; what was started ends again when a part fails to."""
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xcopy-lab-")))
        self.pki = self._pki or Pki(self.directory / "pki")
        self.san = San(self.directory / "luns")
        self.datastores = world.make_datastores(self.directory / "datastores", self.plain_size)
        self.array = stack.enter_context(arrays.start(self._vendor, self.pki, self.san))
        for store in self._stores():
            if store.disk_name:
                self.array.add_datastore(store.disk_name)
        bridge = self.directory / "esxcli.sock"
        self._esxcli = stack.enter_context(EsxcliServer(bridge))
        self.vcenter = stack.enter_context(
            VCenter(
                directory=self.directory,
                cert=self.pki.issue("vcenter"),
                ca_pem=self.pki.ca_pem,
                username=VCENTER_USER,
                password=VCENTER_PASSWORD,
                esxcli_socket=bridge,
                hosts=self._specs,
                datastores=self._stores(),
                vms=world.vms(self.plain_size, **self._backings()),
            )
        )
        self.hosts: dict[str, EsxiHost] = {}
        self._boot_hosts()
        self.kube: Kube = stack.enter_context(start_kube(self._kube_kind, self.directory / "kube", self.pki))
        self.kube.apply_rbac(TARGET_NAMESPACE, LEASE_NAMESPACE)
        self.vcenter_port = self._front(stack, "vcenter", self.vcenter.port)
        self.array_port = self._front(stack, "array", self.array.port)
        self.kube_port = self._front(stack, "kubernetes", self.kube.port)

    def _stores(self) -> tuple[DatastoreSpec, ...]:
        return world.datastores(self.datastores, len(self._specs))

    def _backings(self) -> dict[str, str]:
        """Return what vSphere calls the disks that are volumes of the array, where it copies such by itself."""
        return asdict(arrays.copying(self.array).backings) if VENDORS[self._vendor].copies else {}

    def add_source(self, disk: str) -> str:
        """Make the array's volume that a disk is, with the bytes of its file; return its device name."""
        array = arrays.copying(self.array)
        backings = array.backings
        backing = {
            world.VVOL_DISK: backings.vvol,
            world.VVOL_FROZEN: backings.frozen,
            world.RDM_DISK: backings.rdm,
        }[disk]
        device = array.add_source(backing, world.DISK_SIZE)
        flat = flat_of(world.file_of(self.datastores, disk))
        self.san.lun(device).path.write_bytes(flat.read_bytes())
        return device

    def _host(self, spec: HostSpec) -> EsxiHost:
        mounted = {store.name: store.directory for store in self._stores() if spec.name in store.hosts}
        adapters = [asdict(one) for one in spec.adapters]
        moid = self.vcenter.hosts[spec.name]
        root = self.directory / f"host-{next(self._boots)}"
        host = EsxiHost(
            spec.name,
            moid,
            adapters,
            self.san,
            mounted,
            on_boot=self._booted,
            wrapper=self.wrapper,
            root=root,
        )
        host.extents = {
            store.disk_name: store.name
            for store in self._stores()
            if spec.name in store.hosts and store.disk_name
        }
        return host

    def _booted(self, host: EsxiHost) -> None:
        self.vcenter.set_host(host.moid, boot_time=host.boot_time)

    def _front(self, stack: ExitStack, service: str, port: int) -> int:
        if not self._proxied:
            return port
        server = self.pki.server_context(f"{service}-proxy", f"{service}.lab.example")
        client = self.pki.client_context()
        return stack.enter_context(proxy(service, ("127.0.0.1", port), self.ledger, server, client))

    def add_target(self, size: int = world.DISK_SIZE, *, serial: str | None = None, **volume: Any) -> Target:
        """Make a LUN on the array and the PVC for it; further arguments go to `Kube.add_volume`."""
        made = self.array.add_volume(size, serial)
        naa, pvc = self.array.device(made), f"disk-{next(self._number)}"
        csi = {"driver": made.driver, "pv": made.name, "annotations": made.annotations} | volume
        uid = self.kube.add_volume(pvc, TARGET_NAMESPACE, made.handle, made.attributes, **csi)
        return Target(pvc, uid, naa, self.san.lun(naa).path, made)

    def arguments(
        self, target: Target, disk: str = world.PLAIN_DISK, vm: str = world.PLAIN_VM
    ) -> dict[str, str]:
        """Return Forklift's arguments for one disk, by name."""
        return {
            "source-vm-id": self.vcenter.vms.get(vm, vm),
            "source-vmdk": disk,
            "target-namespace": TARGET_NAMESPACE,
            "owner-name": target.pvc,
            "owner-uid": target.uid,
            "cr-name": f"populator-{target.pvc}",
            "cr-namespace": TARGET_NAMESPACE,
            "secret-name": "copy-offload",
            "storage-vendor-product": self.array.vendor,
            "pvc-size": str(world.DISK_SIZE),
            "http-endpoint": "127.0.0.1:0",
        }

    def environment(self) -> dict[str, str]:
        """Return what Forklift's Secret and the pod would bring as environment."""
        token = self.kube.service_account_token(TARGET_NAMESPACE, "populator")
        kubeconfig = self.kube.kubeconfig(self.directory, token=token, port=self.kube_port)
        access = self.array.access
        token_of_array = {"STORAGE_TOKEN": access.token} if access.token else {}
        return {
            "GOVMOMI_HOSTNAME": f"127.0.0.1:{self.vcenter_port}",
            "GOVMOMI_USERNAME": VCENTER_USER,
            "GOVMOMI_PASSWORD": VCENTER_PASSWORD,
            "cacert": self.pki.ca_pem,
            "STORAGE_HOSTNAME": f"127.0.0.1:{self.array_port}",
            "STORAGE_USERNAME": access.username,
            "STORAGE_PASSWORD": access.password,
            **token_of_array,
            **access.options,
            "REQUESTS_CA_BUNDLE": str(self.pki.ca_file),
            "HOST_LEASE_NAMESPACE": LEASE_NAMESPACE,
            "KUBECONFIG": str(kubeconfig),
            "HOSTNAME": "populate-pod",
        }

    def program(
        self,
        target: Target,
        *,
        arguments: dict[str, str | None] | None = None,
        environment: dict[str, str | None] | None = None,
        scrape_interval: float = 0.5,
        **source: str,
    ) -> Program:
        """Return the populator for one disk; a None in `arguments` or `environment` takes the value away."""
        given = self.arguments(target, **source) | (arguments or {})
        message = self.directory / f"termination-{target.pvc}.json"
        given["termination-message-path"] = str(message)
        variables = self.environment() | (environment or {})
        return Program(
            [f"--{name}={value}" for name, value in given.items() if value is not None],
            {name: value for name, value in variables.items() if value is not None},
            message,
            scrape_interval,
        )

    def start_ssh(self, port: int = 0) -> dict[str, str | None]:
        """Start SSH on all hosts, with our key let in; return the environment by which the populator uses it.

        On a port that is free where this one is not, or may not be used.
        """
        key = self.directory / "ssh-key"
        if not key.exists():
            make_key(key, "-t", "rsa", "-b", "2048", "-m", "PEM")
        addresses = {spec.name: spec.address for spec in self._specs}
        port = port if all(can_listen(address, port) for address in addresses.values()) else 0
        for host in self.hosts.values():
            port = host.start_ssh(addresses[host.name], port).port
        pem = key.read_text()
        self.authorize(key_line.compatible(public_key(pem)))
        encoded = base64.b64encode(pem.encode()).decode()
        return {"ESXI_CLONE_METHOD": "ssh", "SSH_PRIVATE_KEY": encoded, "SSH_PORT_NUMBER": str(port)}

    def authorize(self, line: str) -> None:
        """Let this line be the authorized_keys of all hosts."""
        for host in self.hosts.values():
            host.ssh.authorize(line)

    def map_to_host(
        self, target: Target, group: str, kind: str = "iscsi", others: tuple[str, ...] = ()
    ) -> None:
        """Map a LUN to the plain VM's host through a group of that name, and let the host see it."""
        own = [Initiator(InitiatorKind(kind), one.port) for one in self.host.adapters if one.kind == kind]
        initiators = [*own, *map(arrays.iscsi, others)]
        self.array.add_map(target.volume, self.array.add_group(group, initiators))
        self.host.stack.add(self.host.adapters)

    def tidy(self) -> None:
        """Begin again: no LUNs, groups or leases, all rights, and new hosts in good health under the old ids."""
        self.ledger.reset()
        self.vcenter.withhold()
        self.vcenter.deny()
        self.array.reset()
        self._boot_hosts()
        self.kube.apply_rbac(TARGET_NAMESPACE, LEASE_NAMESPACE)
        for namespace in (LEASE_NAMESPACE, TARGET_NAMESPACE):
            leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
            for lease in self.kube.admin.list(leases):
                self.kube.admin.delete(f"{leases}/{lease['metadata']['name']}")

    def _boot_hosts(self) -> None:
        for host in self.hosts.values():
            host.close()
        for store in self._stores():
            for stale in store.directory.rglob("*-rdmdisk-*"):
                stale.unlink()
            for script in store.directory.glob(f"{key_line.SCRIPT}*"):
                script.unlink()
        self.hosts = {spec.name: self._host(spec) for spec in self._specs}
        for host in self.hosts.values():
            self._esxcli.add(host)
            self.vcenter.set_host(
                host.moid, boot_time=host.boot_time, connection_state="connected", in_maintenance_mode=False
            )
            self.vcenter.set_host(host.moid, clock_offset=0)
            self.array.know_host(
                host.name, [Initiator(InitiatorKind(one.kind), one.port) for one in host.adapters]
            )

    @property
    def host(self) -> EsxiHost:
        """Return the host that the plain VM runs on."""
        return self.hosts[world.PLAIN_HOST]

    def leftovers(self, target: Target) -> list[str]:
        """Return what a run has left behind on host, array and cluster, in words; empty when all is as found."""
        found = [f"{target.naa} is mapped via {group}" for group in self.san.mappings(target.naa)]
        for host in self.hosts.values():
            if status := host.device_status(target.naa):
                found.append(f"{host.name} has device {target.naa} ({status})")
            if target.naa in host.detached:
                found.append(f"{host.name} lists {target.naa} as detached")
            found += [f"{host.name}: {harm}" for harm in host.harm]
            found += [f"{host.name}: {naa} was pulled while on" for naa in host.unclean]
            found += [f"{host.name} has task {task}" for task in host.wrapper.tasks]
            found += [f"{host.name} has comparison {task}" for task in host.wrapper.verifications]
        for store in self._stores():
            found += [f"{half} lies on {store.name}" for half in store.directory.glob(f"{key_line.SCRIPT}.*")]
            found += [f"mapping {file} lies on {store.name}" for file in store.directory.rglob("*-rdmdisk-*")]
        found += [f"group {group} exists" for group in self.array.groups()]
        if VENDORS[self._vendor].copies and (copies := arrays.copying(self.array).copies):
            found.append(f"the array has {copies} copies")
        found += [
            f"{name} is held by {holder}"
            for namespace in (LEASE_NAMESPACE, TARGET_NAMESPACE)
            for name, holder in self.kube.lease_holders(namespace).items()
        ]
        return found

    def copied(self, target: Target, disk: str = world.PLAIN_DISK) -> bool:
        """Return whether the LUN starts with exactly the bytes that the disk shows at this link of its chain."""
        file = world.file_of(self.datastores, disk)
        if flat_of(file).exists():
            return same_bytes(file, target.lun)
        shown = shown_by(file, self.datastores)
        with target.lun.open("rb") as lun:
            return lun.read(len(shown)) == shown


def can_listen(address: str, port: int) -> bool:
    """Return whether a server may be started there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
