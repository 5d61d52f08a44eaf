"""What a run writes into the journal of its host lease: all that whoever finds it dead needs to put things in order.

The lease writes facts, texts by name, together with its renewals (`Held.note`, no call of its own), and cuts the
longest ones where all are more than 4 KiB. This module is their meaning, for those who write and those who read. The
packages below add what they know under the same names: `vsphere` device, task, phase and percent, `lease` phase and
left. The Lease of the volume's writer has the same facts, and with them what it keeps for itself (see `writer`). No
secret is among them: who may read Leases need not be one who may read Secrets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from vsphere.model import CopyPhase

MIB = 1024 * 1024

NAMES = {"pvc_uid": "pvcUid", "host_id": "hostId", "group": "mapping", "lun_id": "lunId"}
"""fields that have another name in the Lease"""
WRITER = "xcopy-volume-{host}"
"""name of the Lease of a volume's writer; what the lease package calls a host is the PVC's UID there"""
WAIT_FOR_SLOT = "wait for a slot of the host"
"""the phase in which a run queues for the host lease"""
POPULATED, FAILED, REFUSED = "populated", "failed", "refused"
"""facts of that Lease's outcome: the first is `true`, the others have the reason; after the last one a host copies"""
DIGITS = 18
"""of the longest number that is believed"""


@dataclass(frozen=True)
class Journal:
    """What a run does; a field that is not known, or not known yet, is empty or None."""

    pvc: str = ""
    """`namespace/name` of the PVC that is filled"""
    pvc_uid: str = ""
    volume: str = ""
    """name of the PV"""
    disk: str = ""
    """`[datastore] folder/disk.vmdk`"""
    host: str = ""
    """the ESXi host's name"""
    host_id: str = ""
    """its managed object id"""
    vendor: str = ""
    """as Forklift calls it"""
    array: str = ""
    """management address, with a port where one was given"""
    lun: str = ""
    """the array's name for it"""
    device: str = ""
    """ESXi's name for it"""
    group: str = ""
    """the group that the LUN was mapped to by this run or one before it; empty where others let the host see it"""
    lun_id: int | None = None
    """of that mapping"""
    adapters: tuple[str, ...] = ()
    """the host's adapters that see the LUN by that mapping"""
    task: str = ""
    """of the wrapper on the host"""
    phase: str = ""
    percent: int | None = None
    """of the copy, as last seen"""
    rate: float | None = None
    """of the copy so far, in MiB per second"""
    size: int | None = None
    """bytes of the disk"""
    left: str = ""
    """what was left running or in place, for people"""

    @property
    def remaining(self) -> float | None:
        """Seconds that the copy still takes at its rate; None where none runs, or none can tell."""
        if self.phase != CopyPhase.CLONE or self.percent is None or not self.rate or self.size is None:
            return None
        return self.size * max(100 - self.percent, 0) / 100 / (self.rate * MIB)

    def facts(self) -> dict[str, str]:
        """Return what is known, as the lease takes it."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return {_name(field): _text(value) for field, value in known.items() if value not in {"", None, ()}}


def parse_journal(facts: Mapping[str, str]) -> Journal:
    """Read the journal of whatever program and version; what is missing or makes no sense is not known."""
    given = {field.name: facts.get(_name(field.name), "") for field in fields(Journal)}
    lun_id, percent, size = (_number(given.pop(name)) for name in ("lun_id", "percent", "size"))
    rate = _decimal(given.pop("rate"))
    names = tuple(
        name for name in given.pop("adapters").split() if not name.endswith("…")
    )  # a cut name is none
    if percent is not None and percent > 100:
        percent = None
    return Journal(**given, lun_id=lun_id, percent=percent, rate=rate, size=size, adapters=names)


def _name(field: str) -> str:
    return NAMES.get(field, field)


def _text(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def _decimal(text: str) -> float | None:
    whole, point, rest = text.partition(".")
    return float(text) if _number(whole) is not None and (not point or _number(rest) is not None) else None
