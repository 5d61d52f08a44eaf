"""Which SDC an ESXi host is, and whether it works."""

from collections.abc import Callable, Collection, Mapping, Sequence

from populator.errors import StorageError
from populator.storage.initiators import listed
from populator.storage.vendors.powerflex.client import Sdc, System
from vsphere.model import Initiator, InitiatorKind

CONNECTED = "Connected"
ESXI = "esx"


class Sdcs:
    """The SDCs of a system, listed again only where one is asked for that was not among them."""

    def __init__(self, list_all: Callable[[], Sequence[Sdc]]) -> None:
        self._list_all = list_all
        self._known: Mapping[str, Sdc] = {}

    def by_id(self, ids: Collection[str]) -> Mapping[str, Sdc]:
        """Return them by their ids; an SDC that is mapped may have been removed since."""
        if not set(ids) <= set(self._known):
            self._list()
        return self._known

    def of(self, initiators: Collection[Initiator]) -> list[Sdc]:
        """Return those on ESXi that these initiators are."""
        guids = {initiator.name for initiator in initiators if initiator.kind == InitiatorKind.SDC}
        if guids and not self._found(guids):
            self._list()
        return self._found(guids)

    def _found(self, guids: Collection[str]) -> list[Sdc]:
        """Return those that have one of the GUIDs; a system may not know of an SDC what it runs on."""
        return [sdc for sdc in self._known.values() if sdc.guid in guids and sdc.os.lower() in {"", ESXI}]

    def _list(self) -> None:
        self._known = {sdc.id: sdc for sdc in self._list_all()}


def choose(host: str, offered: Sequence[Initiator], sdcs: Sdcs, system: System) -> tuple[Initiator, Sdc]:
    """Return the first of the host's initiators that is a connected SDC; raise where none is, or none can be used."""
    candidates = [(initiator, sdc) for initiator in offered for sdc in sdcs.of([initiator])]
    guids = listed(offered)
    if not candidates:
        raise StorageError(
            f"The PowerFlex system {system.id} has no SDC on ESXi with the GUID {guids}.",
            f"Look whether the SDC of {host} is registered with this system (the MDM addresses of scini), and was not "
            "removed there.",
        )
    if len({initiator for initiator, _ in candidates}) < len(candidates):
        namesakes = ", ".join(sorted(sdc.name for _, sdc in candidates))
        raise StorageError(
            f"The PowerFlex system {system.id} has several SDCs with one GUID, {guids}: {namesakes}.",
            "Remove those that are not this host.",
        )
    chosen = next((pair for pair in candidates if pair[1].connection == CONNECTED), candidates[0])
    _check(chosen[1], system)
    return chosen


def _check(sdc: Sdc, system: System) -> None:
    """Refuse an SDC by which the host would not see what is mapped."""
    if sdc.connection != CONNECTED:
        state = f"is {sdc.connection}" if sdc.connection else "is in an unknown state"
        raise StorageError(
            f"The host's SDC {sdc.name} {state}, not connected to the PowerFlex system {system.id}.",
            "Look at scini on the host, and at its network to the MDMs.",
        )
    if system.restricted and not sdc.approved:
        raise StorageError(
            f"The host's SDC {sdc.name} is not approved on the PowerFlex system {system.id}, which lets in no others.",
            "Approve the SDC there.",
        )
