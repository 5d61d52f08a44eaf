"""What there is in the lab: hosts with their adapters, datastores, and VMs with disks of every kind. Data only.

Each VM exists for one thing that a disk may be; `PLAIN_VM` is the ordinary one. Disks that are copied for real have
files below the datastores' folders, made by `make_datastores`.
"""

from dataclasses import replace
from pathlib import Path

from tests.lab.disks import MIB, make_delta, make_filesystem_disk, make_vmdk, noise
from tests.lab.vcenter import AdapterSpec, DatastoreSpec, DiskSpec, HostSpec, LinkSpec, PathSpec, VmSpec
from vsphere.paths import parse_vmdk

DISK_SIZE = 8 * MIB
PLAIN_HOST, OTHER_HOST = "esx-1.lab", "esx-2.lab"
PLAIN_VM, PLAIN_DISK = "plain vm", "[ds one] plain vm/plain vm.vmdk"
DATA_DISK = "[ds one] plain vm/data disk.vmdk"
FC_VM, FC_DISK = "fc vm", "[fast-fc] fc vm/fc vm.vmdk"
SNAPSHOT_VM = "snapshot vm"
BASE, MIDDLE, NEWEST = (
    f"[ds one] snapshot vm/snapshot vm{ending}.vmdk" for ending in ("", "-000001", "-000002")
)
"""a chain: the disk was enlarged after its first snapshot"""
BASE_SIZE = DISK_SIZE // 2
DELTA_SIZE = 64 << 10
CLONE_VM, CLONE_DISK = "clone vm", "[ds one] clone vm/clone vm.vmdk"
CLONE_BASE = "[local] template/template.vmdk"
"""what a linked clone inherits from: in another VM's folder, on another datastore"""
ENCRYPTED_VM, ENCRYPTED_DISK = "encrypted vm", "[ds one] encrypted vm/encrypted vm.vmdk"
NFS_VM, NFS_DISK = "nfs vm", "[nfs ds] nfs vm/nfs vm.vmdk"
VSAN_VM, VSAN_DISK = "vsan vm", "[vsan ds] vsan vm/vsan vm.vmdk"
RDM_VM, RDM_DISK = "rdm vm", "[ds one] rdm vm/rdm vm.vmdk"
VVOL_VM, VVOL_DISK, VVOL_FROZEN = (
    "vvol vm",
    "[vvol ds] rfc4122.5f1b/vvol vm.vmdk",
    "[vvol ds] rfc4122.5f1b/vvol vm-000001.vmdk",
)
"""with a snapshot: each level is a volume of the array with all its bytes"""
ODD_VM = "odd vm"
ODD_DISKS = (
    "[ds [two]] odd/a [b] (c) {d} #1 & <2>.vmdk",
    "[ds [two]] földer/ünïcode/深い/ディスク 🐍.vmdk",
    "[ds [two]] odd/100% *sure* ~!@^=+,.vmdk",
)
QUOTE_VM, QUOTE_DISK = "quote vm", "[ds one] o'brien/o'brien.vmdk"
"""what the stock plugin cannot be told safely"""
SIMPLE_VM, SIMPLE_DISK = "simple", "[datastore1] simple/simple.vmdk"
"""no character that any program could stumble over"""
LOCAL_VM, LOCAL_DISK = "local vm", "[local] local vm/local vm.vmdk"
FILES = {"hello.txt": b"Copied by the array itself.\n", "numbers.bin": bytes(range(256)) * 64}
"""what is in the file system on the plain disk"""

ISCSI_LUN, FC_LUN, TWO_LUN, SIMPLE_LUN = (f"naa.600a09803830304437392d736f75726{n}" for n in range(4))


def host_names(number: int = 2) -> tuple[str, ...]:
    """Return what so many hosts are called, the plain VM's first."""
    return tuple(f"esx-{n}.lab" for n in range(1, number + 1))


def hosts(number: int = 2, *, sdc: bool = False) -> tuple[HostSpec, ...]:
    """Return hosts that have an iSCSI and an FC adapter each, and PowerFlex's client where that is wanted."""
    plain = _hosts(number)
    return (
        tuple(replace(host, adapters=(*host.adapters, _sdc(n))) for n, host in enumerate(plain, 1))
        if sdc
        else plain
    )


def _sdc(number: int) -> AdapterSpec:
    """Return PowerFlex's client, which shows itself as an FC adapter by names that no array knows."""
    guid = f"9E56672F-2F4B-4A42-BFF4-88B6846FBF0{number}"
    wwn = f"20000000c0a80{number:03}"
    return AdapterSpec("vmhba66", "sdc", guid, wwnn=wwn, wwpn=wwn.replace("20", "21", 1))


def _hosts(number: int) -> tuple[HostSpec, ...]:
    return tuple(
        HostSpec(
            name,
            (
                AdapterSpec("vmhba64", "iscsi", initiator=f"iqn.1998-01.com.vmware:{name}:{number:08x}"),
                # Bit 63 set: vSphere hands out such names as negative numbers.
                AdapterSpec("vmhba2", "fc", wwnn=f"f00000025b50000{number}", wwpn=f"f00000025b5aa00{number}"),
            ),
            f"127.0.1.{number}",
        )
        for number, name in enumerate(host_names(number), 1)
    )


def datastores(folder: Path, number: int = 2) -> tuple[DatastoreSpec, ...]:
    """Return the datastores of so many hosts, whose files lie below `folder`."""
    each = host_names(number)
    iscsi, fc = (PathSpec("vmhba64"), PathSpec("vmhba2", "standby")), (PathSpec("vmhba2"),)
    return (
        DatastoreSpec("ds one", folder / "ds one", each, ISCSI_LUN, paths=iscsi),
        DatastoreSpec("ds [two]", folder / "ds [two]", each, TWO_LUN, paths=iscsi),
        DatastoreSpec("fast-fc", folder / "fast-fc", each, FC_LUN, paths=fc),
        DatastoreSpec("datastore1", folder / "datastore1", each, SIMPLE_LUN, paths=iscsi),
        DatastoreSpec("vvol ds", folder / "vvol ds", each),
        DatastoreSpec("nfs ds", folder / "nfs ds", each, kind="NFS"),
        DatastoreSpec("vsan ds", folder / "vsan ds", each, kind="vsan"),
        DatastoreSpec("local", folder / "local", (PLAIN_HOST,), "mpx.vmhba0:C0:T0:L0"),
    )


def vms(plain_size: int = DISK_SIZE, vvol: str = "", frozen: str = "", rdm: str = "") -> tuple[VmSpec, ...]:
    """Return the VMs; the plain disk may have another size than all others.

    `vvol`, `frozen` and `rdm` are what vSphere calls those volumes, where there is an array that has them.
    """
    snapshot = LinkSpec(VVOL_FROZEN, backing_object_id=frozen or "rfc4122.5f1a")
    chain = (LinkSpec(MIDDLE, allocated=2 * DELTA_SIZE), LinkSpec(BASE, BASE_SIZE))
    clone_base = (LinkSpec(CLONE_BASE, snapshot=False),)
    return (
        VmSpec(PLAIN_VM, PLAIN_HOST, (DiskSpec(PLAIN_DISK, plain_size), DiskSpec(DATA_DISK, DISK_SIZE))),
        VmSpec(FC_VM, OTHER_HOST, (DiskSpec(FC_DISK, DISK_SIZE),), powered_on=True),
        VmSpec(SNAPSHOT_VM, PLAIN_HOST, (DiskSpec(NEWEST, DISK_SIZE, parents=chain, allocated=DELTA_SIZE),)),
        VmSpec(CLONE_VM, PLAIN_HOST, (DiskSpec(CLONE_DISK, DISK_SIZE, parents=clone_base),)),
        VmSpec(ENCRYPTED_VM, PLAIN_HOST, (DiskSpec(ENCRYPTED_DISK, DISK_SIZE, encrypted=True),)),
        VmSpec(NFS_VM, PLAIN_HOST, (DiskSpec(NFS_DISK, DISK_SIZE),)),
        VmSpec(VSAN_VM, PLAIN_HOST, (DiskSpec(VSAN_DISK, DISK_SIZE),)),
        VmSpec(RDM_VM, PLAIN_HOST, (DiskSpec(RDM_DISK, DISK_SIZE, "rdm", device_name=rdm or ISCSI_LUN),)),
        VmSpec(
            VVOL_VM,
            PLAIN_HOST,
            (
                DiskSpec(
                    VVOL_DISK,
                    DISK_SIZE,
                    "vvol",
                    backing_object_id=vvol or "rfc4122.5f1b",
                    parents=(snapshot,),
                ),
            ),
        ),
        VmSpec(ODD_VM, PLAIN_HOST, tuple(DiskSpec(path, DISK_SIZE) for path in ODD_DISKS)),
        VmSpec(QUOTE_VM, PLAIN_HOST, (DiskSpec(QUOTE_DISK, DISK_SIZE),)),
        VmSpec(SIMPLE_VM, PLAIN_HOST, (DiskSpec(SIMPLE_DISK, DISK_SIZE),)),
        VmSpec(LOCAL_VM, PLAIN_HOST, (DiskSpec(LOCAL_DISK, DISK_SIZE),)),
    )


def make_datastores(folder: Path, plain_size: int = DISK_SIZE) -> Path:
    """Write the disks' files; every disk has other bytes."""
    for store in datastores(folder):
        store.directory.mkdir(parents=True)
    disks = (
        DATA_DISK,
        FC_DISK,
        RDM_DISK,
        VVOL_DISK,
        VVOL_FROZEN,
        LOCAL_DISK,
        QUOTE_DISK,
        SIMPLE_DISK,
        CLONE_BASE,
        *ODD_DISKS,
    )
    for seed, path in enumerate(disks):
        file = file_of(folder, path)
        make_vmdk(file.parent, file.name, DISK_SIZE, seed)
    plain = file_of(folder, PLAIN_DISK)
    make_filesystem_disk(plain.parent, plain.name, FILES, plain_size, seed=99)
    make_chains(folder)
    return folder


def make_chains(folder: Path) -> None:
    """Write the disks that have parents; each link has bytes of its own, also where others have theirs."""
    base, middle, newest = (file_of(folder, path) for path in (BASE, MIDDLE, NEWEST))
    make_vmdk(base.parent, base.name, BASE_SIZE, 50)
    first, second = noise(51, 0, DELTA_SIZE), noise(52, 0, DELTA_SIZE)
    make_delta(middle.parent, middle.name, base, DISK_SIZE, {MIB: first, DISK_SIZE - DELTA_SIZE: first})
    make_delta(newest.parent, newest.name, middle, DISK_SIZE, {MIB + DELTA_SIZE // 2: second})
    clone, template = file_of(folder, CLONE_DISK), file_of(folder, CLONE_BASE)
    hint = parse_vmdk(CLONE_BASE).host_path
    make_delta(clone.parent, clone.name, template, DISK_SIZE, {0: noise(53, 0, DELTA_SIZE)}, hint)


def file_of(folder: Path, disk: str) -> Path:
    """Return the descriptor's file of a disk."""
    path = parse_vmdk(disk)
    return folder / path.datastore / path.file
