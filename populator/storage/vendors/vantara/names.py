"""Hitachi's names: the address, volume handles, devices, host groups, initiators. Pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from populator.address import HIGHEST_PORT, Address
from populator.errors import StorageError
from populator.storage.address import read_address
from populator.storage.answer import ODD
from populator.storage.array import Volume
from populator.storage.initiators import iscsi_names, usable_by
from vsphere.model import Initiator

PORT = re.compile(r"\d{1,5}")
HOST_GROUP = re.compile(r"(CL[0-9A-Z]+-[0-9A-Z]+)\s*,\s*(\d{1,4})", re.IGNORECASE)
VERSION, PARTS, LDEV = "01", 5, re.compile(r"\d{1,9}")
"""of a handle: `01--<protocol>--<storage device id>--<LDEV>--<nickname>`"""
NAA = re.compile(r"60060e8[0-9a-f]{25}")
ISCSI = iscsi_names(without=",")
NUMBER = 8
"""hex digits at the end of a device's name, in which the LDEV's number stands; what is before them is the array's"""
UNASSIGNED, RESERVED = 0xFFFE, 0xFFFF
"""what stands for a virtual LDEV number where there is none, and where a global-active device is to get its pair's"""
HIGHEST_LDEV = 0xFEFF
ARRAY = slice(8, -NUMBER)
"""of an NAA id: the digits for the array; before them are Hitachi's, and one that vVols have otherwise than LDEVs"""
SPEEDS = ("slower", "medium", "faster")
"""of copies; the first one is what the Go populator takes where none is given"""
CSI_HINT = "The volume must be a block volume of Hitachi's CSI driver (HSPC) on this array."


@dataclass(frozen=True)
class Place:
    """Where a volume is to be found."""

    array: str
    """storage device id or serial number"""
    ldev: int
    nickname: str


@dataclass(frozen=True)
class HostGroup:
    """A host group, or an iSCSI target, which the API calls a host group, too."""

    port: str
    number: int

    def __str__(self) -> str:
        """Return the API's id of it."""
        return f"{self.port},{self.number}"


def address(hostname: str, port: str) -> str:
    """Return where the API is served: at STORAGE_PORT, where that is given."""
    given, text = read_address(hostname), port.strip()
    if not text:
        return str(given)
    if not PORT.fullmatch(text) or not 0 < int(text) <= HIGHEST_PORT:
        raise StorageError(
            f"STORAGE_PORT is {text[:100]!r}, which is no port.",
            "Leave it away, or give a number; 443 is usual.",
        )
    return str(Address(given.host, int(text)))


def place(volume: Volume) -> Place:
    """Return what a handle says; a nickname may hold what separates the parts."""
    parts = volume.handle.split("--", PARTS - 1)
    if len(parts) != PARTS or parts[0] != VERSION or not parts[2] or not LDEV.fullmatch(parts[3]):
        raise StorageError(
            f"The handle {volume.handle!r} of the volume {volume.name!r} names no LDEV in a form that is known.",
            CSI_HINT,
        )
    return Place(parts[2], int(parts[3]), parts[4])


def host_groups(listed: str) -> tuple[HostGroup, ...]:
    """Return what HOSTGROUP_ID_LIST names, each once."""
    groups = []
    for item in filter(None, map(str.strip, listed.split(":"))):
        match = HOST_GROUP.fullmatch(item)
        if not match:
            raise StorageError(
                f"HOSTGROUP_ID_LIST holds {item[:100]!r}, which is not a port and the number of a host group.",
                "Give them as CL1-A,1:CL2-B,2.",
            )
        groups.append(HostGroup(match[1].upper(), int(match[2])))
    return tuple(dict.fromkeys(groups))


def host_group(key: str) -> HostGroup:
    """Return the host group that the API gave an id for."""
    match = HOST_GROUP.fullmatch(key)
    if not match:
        raise StorageError(f"The array names a host group {key[:100]!r}, in a form that is not known.", ODD)
    return HostGroup(match[1], int(match[2]))


def joined(groups: Iterable[HostGroup]) -> str:
    """Return host groups as the id of one group."""
    return "\n".join(map(str, groups))


def listed(groups: Iterable[object]) -> str:
    """Return them for people."""
    return " and ".join(map(str, groups))


def lun_name(label: str, ldev: int) -> str:
    """Return what a LUN is called: its label, else by its number."""
    return label or f"LDEV {ldev}"


def device(naa: str, ldev: int) -> str:
    """Return the name by which ESXi knows an LDEV."""
    if not NAA.fullmatch(naa.lower()):
        raise StorageError(
            f"LDEV {ldev} has the NAA id {naa[:100]!r}, which is none of Hitachi's: its device is unknown.",
            ODD,
        )
    return f"naa.{naa.lower()}"


def foretold(neighbour: str, of: int, ldev: int) -> str:
    """Return the NAA id that an LDEV will have, by that of another one; empty where it does not follow from it.

    The array reports it only once a host can see the LDEV. Numbers are the virtual ones, where there are such.
    """
    if not NAA.fullmatch(neighbour.lower()) or int(neighbour[-NUMBER:], 16) != of:
        return ""
    return f"{neighbour[:-NUMBER]}{ldev:0{NUMBER}x}".lower()


def naa_in(device: str) -> str:
    """Return the NAA id in a device's name or a vVol's id; empty where it is none of Hitachi's."""
    naa = device.removeprefix("vvol:").removeprefix("naa.")
    return naa if NAA.fullmatch(naa) else ""


def number_in(naa: str) -> int:
    """Return the number at the end of an NAA id: the LDEV's, or its virtual one, as far as 16 bits hold it."""
    return int(naa[-NUMBER:], 16)


def pair_group(source: str, target: str) -> str:
    """Return the name of the snapshot group, of at most 32 characters, that a run has for its pair of two LDEVs."""
    return f"xcopy-{source}-{target}"


def copy_speed(text: str) -> str:
    """Return the speed that COPY_SPEED names."""
    speed = text.strip().lower() or SPEEDS[0]
    if speed not in SPEEDS:
        raise StorageError(f"COPY_SPEED is {text[:100]!r}.", f"Give one of {', '.join(SPEEDS)}.")
    return speed


def usable(initiators: Sequence[Initiator]) -> list[Initiator]:
    """Return those that Hitachi can know, each once, in their order; raise without any."""
    return usable_by("Hitachi", ISCSI, initiators)


def says(code: str, wanted: Collection[str]) -> bool:
    """Return whether any of these is among the codes of an error."""
    return not set(wanted).isdisjoint(code.split())
