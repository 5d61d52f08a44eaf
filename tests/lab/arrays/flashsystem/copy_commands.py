"""The commands of FlashCopy that clients are known to send, with their options and their columns."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.lab.arrays.flashsystem.flashcopy import FlashCopies, SimFlashCopy
from tests.lab.arrays.flashsystem.system import MISSING_PARAMETER, Failure, SimVolume

Row = dict[str, Any]
Options = Mapping[str, Any]
COLUMNS = (
    "id",
    "name",
    "source_vdisk_id",
    "source_vdisk_name",
    "target_vdisk_id",
    "target_vdisk_name",
    "status",
)
"""by which `lsfcmap` can be filtered"""


class CopyCommands:
    """What `Commands` has for FlashCopy; `pick` finds an object by number or name."""

    def __init__(self, copies: FlashCopies, pick: Callable[..., Any]) -> None:
        self._copies, self._pick = copies, pick

    def mkfcmap(self, options: Options) -> int:
        if not {"source", "target"} <= options.keys():
            raise Failure(MISSING_PARAMETER, "Required parameters are missing.")
        return self._copies.make(
            self._volume(options["source"]),
            self._volume(options["target"]),
            options.get("name", ""),
            int(options.get("copyrate", 50)),
            int(options.get("cleanrate", 50)),
            autodelete=bool(options.get("autodelete")),
            group=options.get("consistgrp", ""),
        ).id

    def chfcmap(self, name: str, options: Options) -> None:
        item = self._item(name)
        if "copyrate" in options:
            self._copies.change_rate(item, int(options["copyrate"]))
        item.clean_rate = int(options.get("cleanrate", item.clean_rate))
        item.autodelete = options.get("autodelete", "on" if item.autodelete else "off") == "on"
        item.name = options.get("name", item.name)

    def prestartfcmap(self, name: str, options: Options) -> None:
        self._copies.prestart(self._item(name), restore=bool(options.get("restore")))

    def startfcmap(self, name: str, options: Options) -> None:
        prep, restore = bool(options.get("prep")), bool(options.get("restore"))
        self._copies.start(self._item(name), prep=prep, restore=restore)

    def stopfcmap(self, name: str, options: Options) -> None:
        self._copies.stop(self._item(name), force=bool(options.get("force")))

    def rmfcmap(self, name: str, options: Options) -> None:
        self._copies.remove(self._item(name), force=bool(options.get("force")))

    def _item(self, name: str) -> SimFlashCopy:
        item: SimFlashCopy = self._pick(self._copies.all.values(), name)
        return item

    def _volume(self, name: str) -> SimVolume:
        volume: SimVolume = self._pick(self._copies.system.volumes.values(), name)
        return volume


def row(item: SimFlashCopy) -> Row:
    """Return what the list says of a mapping."""
    found = {"id": str(item.id), "name": item.name}
    found |= {"source_vdisk_id": str(item.source.id), "source_vdisk_name": item.source.name}
    found |= {"target_vdisk_id": str(item.target.id), "target_vdisk_name": item.target.name}
    found |= {"group_id": "1" if item.group else "", "group_name": item.group}
    found |= {"status": item.status.value, "progress": str(item.progress), "copy_rate": str(item.rate)}
    found |= {"clean_progress": "100", "incremental": "off", "partner_FC_id": "", "partner_FC_name": ""}
    start = "261128042000" if item.started else ""
    return found | {"restoring": "no", "start_time": start, "rc_controlled": "no"}


def whole(item: SimFlashCopy) -> Row:
    """Return what is said of a mapping that is asked for by itself."""
    more = {"autodelete": "on" if item.autodelete else "off", "clean_rate": str(item.clean_rate)}
    return row(item) | more | {"grain_size": "256", "IO_group_id": "0", "keep_target": "no"}
