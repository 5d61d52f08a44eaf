"""The phases of a run, in the words that log, journal and termination message have for them."""

from enum import StrEnum

from populator.plan.journal import WAIT_FOR_SLOT


class Phase(StrEnum):
    """What a run does; `vsphere.model.CopyPhase` has those of the copy itself."""

    FIND_VOLUME = "find the volume"
    FIND_DISK = "find the disk"
    BECOME_WRITER = "become the volume's writer"
    FIND_LUN = "find the LUN"
    MAP_LUN = "map the LUN"
    WAIT_FOR_SLOT = WAIT_FOR_SLOT
    DISCOVER_DEVICE = "discover the device"
    UNDO = "undo"
    LAST_SCRAPE = "last scrape"
    END = "end"


AFTER_WORK = frozenset({Phase.UNDO, Phase.LAST_SCRAPE, Phase.END})
"""in which no run fails"""
