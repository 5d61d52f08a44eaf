"""What vmkfstools and its wrapper complain of, and what to do about it.

Pure. The words are those of VMware's disk library (which its VDDK has, too) and of the VMkernel's error numbers, as
logs of real hosts show them; vmkfstools puts a number behind them, which says no more.
"""

import re

PATH = re.compile(r"'/vmfs/.*?\.vmdk'|/vmfs/[^:\n]*")
"""Names are the users' and say nothing of what went wrong."""
COMPLAINTS = (
    (
        ("path validation error",),
        "the host's plugin does not accept a path",
        "Rename the datastore, folder or disk that it names.",
    ),
    (
        ("low free space",),
        "the host's /tmp is full, where the copy keeps its state",
        "Look at it with: vdf -h, and remove what is old there.",
    ),
    (
        ("encrypt", "required key", "keys were not provided", "no keys were supplied"),
        "the disk is encrypted, and the host has no key for it here",
        "Decrypt the disk (give it a storage policy without encryption), or migrate it without copy offload.",
    ),
    (
        ("failed to lock", "device or resource busy", "resource busy", "locked"),
        "the disk is locked by another writer",
        "Power the VM off, or copy a link that a snapshot has frozen; end other copies of the disk.",
    ),
    (
        ("since the child was created", "content id"),
        "a link of the disk's chain was changed after the one above it was made",
        "Do not start the VM; compare CID and parentCID in the links' descriptors, and restore the changed link.",
    ),
    (
        ("different capacity", "capacity of the parent", "capacity mismatch"),
        "a link of the disk's chain has another size than the one above it expects",
        "Consolidate the VM's disks in vCenter, then start the migration again.",
    ),
    (
        ("redo logs", "chain is too long"),
        "the disk's chain has too many links",
        "Delete or consolidate snapshots of the VM.",
    ),
    (
        ("the parent", "snapshot disks it depends on", "partial chain", "disk chain"),
        "a link that the disk inherits from cannot be opened",
        "Check that all links lie where their descriptors say, on datastores that this host has mounted.",
    ),
    (
        ("hosted i/o",),
        "the disk needs repair, or has a format of VMware Workstation",
        "On the host: vmkfstools -x check, then -x repair; a disk of Workstation's must be imported first.",
    ),
    (
        ("needs repair", "corrupt", "inconsistent"),
        "the disk's files are damaged",
        "With the VM off, look at the disk on the host with: vmkfstools -x check, and -x repair.",
    ),
    (
        ("not a virtual disk", "unsupported disk version", "than the version supported"),
        "the file is no descriptor of a disk that the host knows",
        "Name the descriptor (disk.vmdk), not an extent (…-flat.vmdk, …-delta.vmdk, …-sesparse.vmdk).",
    ),
    (
        ("large files", "file too large", "too big"),
        "the datastore cannot hold the mapping of so large a LUN, which vmkfstools keeps beside the disk",
        "Move the disk onto a datastore of VMFS 5 or newer; the largest LUN there has 62 TiB.",
    ),
    (
        ("not supported", "not implemented", "inappropriate ioctl"),
        "the host cannot copy such a disk onto a LUN",
        "Move the disk onto a VMFS datastore (others hold no raw device mappings); the LUN needs 512-byte sectors.",
    ),
    (
        ("reservation conflict",),
        "another initiator has reserved the LUN",
        "Find who holds a SCSI reservation on it (a cluster, or a node that had the volume before), and end that.",
    ),
    (
        ("read-only", "write protected", "write-protected"),
        "the datastore, where a mapping is kept beside the disk, or the LUN is read-only",
        "Mount the datastore writable on this host; a LUN is read-only while it is the target of a replication.",
    ),
    (
        ("not permitted", "permission denied", "access denied"),
        "the host does not allow it",
        "Look at the rights on the disk's folder, and whether the host uses the device for something else.",
    ),
    (
        ("no space left", "out of space", "insufficient space", "not enough space", "disk full"),
        "there is no space left on the LUN or on the datastore",
        "Make room in the array's pool (the LUN is thin) and on the source datastore.",
    ),
    (
        ("allocate memory", "out of memory", "out of resources", "too many open files"),
        "the host is short of memory",
        "Wait until it does less, or choose another migration host.",
    ),
    (
        ("smaller than the source", "too small"),
        "the LUN is smaller than the disk",
        "Give the PersistentVolumeClaim at least the disk's size.",
    ),
    (
        ("input/output error", "i/o error"),
        "reading the disk or writing the LUN failed (I/O error)",
        "Look at the host's vmkernel.log and at the array's events.",
    ),
    (
        ("no such device", "no connection", "device is not available"),
        "the host has lost its way to the datastore or to the LUN",
        "Look at its paths to both: esxcli storage core path list; and whether the LUN is still mapped.",
    ),
    (
        ("timed out", "timeout"),
        "the storage did not answer in time",
        "Look at the array's load and at the host's paths, then start the migration again.",
    ),
    (
        ("name too long",),
        "the disk's name leaves no room for that of the mapping beside it",
        "Give the disk or its folder a shorter name (Storage vMotion renames files).",
    ),
    (
        ("already exists",),
        "a file of an earlier copy lies beside the disk",
        "Delete the files named …-rdmdisk-… in the disk's folder, when no other copy of the disk is running.",
    ),
    (
        ("no such file", "could not be found", "cannot find the file", "not found"),
        "the disk's file or the device is not there",
        "Check that the disk is still at that path (the VM may have been moved), and the host's paths to the LUN.",
    ),
    (
        ("invalid argument", "parameters supplied is invalid", "bad parameter"),
        "the host does not take the device for one that it can map",
        "Look at the device (esxcli storage core device list): it needs 512-byte sectors and at most 62 TiB.",
    ),
)
"""words of the host, in lower case; what they mean; what to do. The first row that fits counts"""


def find_complaint(text: str) -> tuple[str, str] | None:
    """Return what the host's words mean, and what to do; None for words that are not known."""
    words = PATH.sub("", text.lower())
    for signs, meaning, hint in COMPLAINTS:
        if any(sign in words for sign in signs):
            return meaning, hint
    return None
