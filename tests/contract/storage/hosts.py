"""The hosts that arrays are asked about in these tests, and what a driver is asked to do for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from populator.storage.array import Group, Lun, StorageArray
from populator.storage.array import Mapping as LunMapping
from populator.storage.registry import VENDORS
from tests.lab.arrays import ArrayLab, fc, iscsi, sdc
from vsphere.model import Initiator, InitiatorKind

HOST = "host-1234"
IQN, IQN_2 = iscsi("iqn.1998-01.com.vmware:esx-1"), iscsi("iqn.1998-01.com.vmware:esx-1-b")
FC, FC_2 = fc("20000025b5aa0001"), fc("20000025b5aa0002")
SDC = sdc("3f4b2c1d-0000-4000-8000-000000000001")
ALL = frozenset({IQN, IQN_2, FC, FC_2})
"""of the host by iSCSI and Fibre Channel"""


@dataclass(frozen=True)
class Ports:
    """Initiators of one kind, of three hosts."""

    own: tuple[Initiator, ...]
    """of the host that we work for, `esx-1`"""
    neighbour: Initiator
    """of another ESXi host, `esx-5`"""
    worker: Initiator
    """of a node of the cluster that the volume is for, `worker-7`"""

    @property
    def first(self) -> Initiator:
        return self.own[0]


PORTS: Mapping[InitiatorKind, Ports] = {
    InitiatorKind.FC: Ports((FC, FC_2), fc("20000025b5aa0005"), fc("20000025b5aa0007")),
    InitiatorKind.ISCSI: Ports(
        (IQN, IQN_2), iscsi("iqn.1998-01.com.vmware:esx-5"), iscsi("iqn.1998-01.com.vmware:worker-7")
    ),
    InitiatorKind.SDC: Ports(
        (SDC,), sdc("3f4b2c1d-0000-4000-8000-000000000005"), sdc("3f4b2c1d-0000-4000-8000-000000000007")
    ),
}


def all_ports(lab: ArrayLab) -> frozenset[Initiator]:
    """Return all that the host has, of the kinds which the vendor serves."""
    return frozenset(port for kind in VENDORS[lab.vendor].initiators for port in PORTS[kind].own)


def know_hosts(lab: ArrayLab) -> None:
    """Describe both ESXi hosts to an array on which that is the administrator's to do."""
    lab.know_host("esx-1", all_ports(lab))
    lab.know_host("esx-5", [PORTS[kind].neighbour for kind in VENDORS[lab.vendor].initiators])


def seen(lab: ArrayLab, initiator: Initiator) -> dict[str, int | None]:
    """Return device -> LUN id of all that an initiator sees; an SDC has numbers of its own, which no array knows."""
    found = lab.san.seen_by([initiator.name])
    return {
        device: None if initiator.kind == InitiatorKind.SDC else lun_id for device, lun_id in found.items()
    }


def ensure(array: StorageArray, *initiators: Initiator, host: str = HOST) -> Group:
    """Return the host's group, as a run would have it."""
    return array.ensure_group(array.plan_group(host, initiators))


def unmap(lab: ArrayLab, array: StorageArray, lun: Lun, before: Sequence[LunMapping] = ()) -> None:
    """Unmap as a run would, which found these mappings before it."""
    array.unmap(lun, HOST, all_ports(lab), [mapping for mapping in before if not mapping.ours])
