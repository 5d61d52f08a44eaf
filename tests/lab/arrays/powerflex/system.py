"""The state of a simulated PowerFlex gateway and the systems behind it, and their rules; nothing of HTTP.

Kept as documented: GUIDs of SDCs in upper case, a volume is mapped once to an SDC, to several only where that is asked
for, and only the verbs of the system's generation are known. What is mapped appears in the SAN, under a number that
scini would give it. Error codes without a public source are plausible ones, and said so.
"""

import itertools
import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.lab.san import San

ID = re.compile(r"[0-9a-fA-F]{16}")
VOLUME_MISSING = 79
ALREADY_MAPPED, NOT_MAPPED = (81, 4037), (84, 4039)
"""up to 3.x, and since"""
SDC_MISSING, SEVERAL_NOT_ALLOWED, NOT_PERMITTED, WRONG_GENERATION = 93, 80, 7, 4112
"""made up: no client looks at them"""
ACCESS_MODES = ("ReadWrite", "ReadOnly", "NoAccess")


@dataclass
class SimSystem:
    id: str
    name: str | None
    version: str | None
    """`4.5.2100.105`: of the components, not of the API"""
    restricted: str = "None"


@dataclass
class SimSdc:
    id: str
    guid: str | None
    system: SimSystem
    name: str | None = None
    ip: str = "192.0.2.1"
    os: str | None = "Esx"
    connection: str | None = "Connected"
    approved: bool = True
    host_type: str = "SdcHost"
    nqn: str | None = None


@dataclass
class SimMap:
    number: int
    """that scini gives it on the host; no client of the array ever sees it"""
    access: str = "ReadWrite"
    iops: int = 0
    bandwidth: int = 0
    """MB a second; 0: unlimited, as for `iops`"""


@dataclass
class SimVolume:
    id: str
    name: str
    size_kb: int
    system: SimSystem
    access: str = "ReadWrite"
    kind: str = "ThinProvisioned"
    maps: dict[str, SimMap] = field(default_factory=dict)
    """by the SDC's id"""

    @property
    def device(self) -> str:
        return f"eui.{self.system.id}{self.id}"


class Failure(Exception):
    def __init__(self, status: int, code: int, message: str, symbol: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.symbol = status, code, message, symbol


class Systems:
    """What an administrator sees and does.

    May be set at any time: the attributes of `systems`, `sdcs` and `volumes`.
    """

    def __init__(self, san: San, api_version: str, version: str | None) -> None:
        self.san = san
        self.api_version = api_version
        self.systems: dict[str, SimSystem] = {}
        self.sdcs: dict[str, SimSdc] = {}
        self.volumes: dict[str, SimVolume] = {}
        self._number = itertools.count(1)
        self._lock = threading.RLock()
        self.system = self.add_system("lab-system", version)

    @property
    def second_generation(self) -> bool:
        """Whether it maps to hosts; other clients find that out for themselves."""
        parts = [
            int(text.split(".")[0]) for text in (self.api_version, self.system.version or self.api_version)
        ]
        return min(parts) >= 5

    def add_system(self, name: str | None, version: str | None) -> SimSystem:
        system = SimSystem(secrets.token_hex(8), name, version)
        self.systems[system.id] = system
        return system

    def add_sdc(self, guid: str | None, **more: Any) -> SimSdc:
        """Register a host; it is shown as ESXi, connected and approved, where nothing else is said."""
        with self._lock:
            number = next(self._number)
            system = more.pop("system", self.system)
            key = f"{system.id[:8]}{number:08x}"
            ip = f"192.0.2.{number % 250 + 1}"
            self.sdcs[key] = SimSdc(key, guid.upper() if guid else None, system, **{"ip": ip} | more)
            return self.sdcs[key]

    def sdc_of(self, guid: str) -> SimSdc | None:
        return next((sdc for sdc in self.sdcs.values() if (sdc.guid or "").lower() == guid.lower()), None)

    def add_volume(self, name: str, size: int, key: str = "", system: SimSystem | None = None) -> SimVolume:
        """Create a volume on the array and in the SAN; sizes need not be those of the array, multiples of 8 GiB."""
        with self._lock:
            made = system or self.system
            key = key or f"{made.id[-8:]}{next(self._number):08x}"
            if any(volume.name == name and volume.system is made for volume in self.volumes.values()):
                raise Failure(500, 6, "Volume name already in use. Please use a different name.")
            volume = SimVolume(key, name, -(-size // 1024), made)
            self.san.create_lun(volume.device, size, "EMC", "Scini")
            self.volumes[key] = volume
            return volume

    def remove_volume(self, key: str) -> None:
        with self._lock:
            self.san.delete_lun(self.volumes.pop(key).device)

    def find_volume(self, key: str) -> SimVolume:
        if not ID.fullmatch(key):
            raise Failure(400, 0, f"id: {key} must be a hexadecimal number (unsigned long)")
        if key.lower() not in self.volumes:
            raise Failure(500, VOLUME_MISSING, "Could not find the volume", "VOL_NOT_FOUND")
        return self.volumes[key.lower()]

    def find_sdc(self, key: str) -> SimSdc:
        if key not in self.sdcs:
            raise Failure(500, SDC_MISSING, "Could not find the SDC", "INI_NOT_FOUND")
        return self.sdcs[key]

    def map(self, volume: SimVolume, sdc: SimSdc, *, several: bool = True, access: str = "ReadWrite") -> None:
        """Map a volume; refused where it is, and where others have it and several are not wanted."""
        with self._lock:
            if sdc.id in volume.maps:
                raise Failure(
                    500,
                    self._code(ALREADY_MAPPED),
                    "The volume is already mapped to this SDC",
                    "VOL_ALREADY_MAPPED_TO_THIS_INI",
                )
            if volume.maps and not several:
                raise Failure(500, SEVERAL_NOT_ALLOWED, "The volume is mapped to another SDC")
            number = self._free_number(sdc)
            volume.maps[sdc.id] = SimMap(number, access)
            if sdc.guid:
                self.san.map(volume.device, [sdc.guid.lower()], number, via=sdc.id)

    def unmap(self, volume: SimVolume, sdc: SimSdc) -> None:
        with self._lock:
            if sdc.id not in volume.maps:
                raise Failure(
                    500,
                    self._code(NOT_MAPPED),
                    "The volume is not mapped to the SDC",
                    "VOL_NOT_MAPPED_TO_INI",
                )
            del volume.maps[sdc.id]
            self.san.unmap(volume.device, via=sdc.id)

    def _code(self, codes: tuple[int, int]) -> int:
        return codes[int(self.api_version.split(".")[0]) >= 4]

    def _free_number(self, sdc: SimSdc) -> int:
        taken = {item.number for volume in self.volumes.values() if (item := volume.maps.get(sdc.id))}
        return next(n for n in itertools.count() if n not in taken)
