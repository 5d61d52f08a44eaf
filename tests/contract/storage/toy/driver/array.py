"""An array of the kind that most vendors make: log-in by token, lists, and hosts that its administrator has described.

An initiator belongs to one host. Handles are `<id>/<name>`, devices have `eui.` names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from populator import retry
from populator.clock import Clock
from populator.errors import StorageError
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.array import ArrayInfo, Group, GroupPlan, Lun, OwnGroup, Volume
from populator.storage.array import Mapping as LunMapping
from populator.storage.failures import Refused, passing
from populator.storage.http import Http
from populator.storage.identity import not_here
from populator.storage.initiators import read_initiators
from populator.storage.login import Send
from vsphere.model import Initiator

TOKEN = "X-Token"
EXPIRED, MAPPED, UNMAPPED = "expired", "mapped", "unmapped"
Result = TypeVar("Result")


class Session:
    """The way in: a token of the user's for one of the session's."""

    def __init__(self, access: Access) -> None:
        self._token = access.token

    def begin(self, send: Send) -> Mapping[str, str]:
        return {TOKEN: send("POST", "/sessions", "let us in", body={"token": self._token}).headers[TOKEN]}

    def expired(self, refusal: Refused) -> bool:
        return refusal.code == EXPIRED

    def end(self, send: Send, headers: Mapping[str, str]) -> None:
        send("DELETE", "/sessions", "let us out", headers=headers)


class ToyArray:
    """See the module."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._http = Http(access, clock, "Toy", explain, Session(access))
        self._clock = clock
        self._shelf = f"/shelves/{access.options['TOY_SHELF']}"

    def info(self) -> ArrayInfo:
        answer = self._ask("/info", "tell its version")
        return ArrayInfo("Toys", "Toy", answer.text("model"), answer.text("version"))

    def find_lun(self, volume: Volume) -> Lun:
        key, _, name = volume.handle.partition("/")
        try:
            found = self._ask(f"{self._shelf}/volumes/{key}", "find the volume")
        except Refused as error:
            raise StorageError(error.text, "Look whether the volume still exists.") from error
        if found.text("name") != name:
            raise StorageError(
                f"The array's volume {key} is {found.text('name')}, not {name}.",
                "Its id was given to another one.",
            )
        return Lun(key, name, found.text("device"), found.number("size"))

    def find_device(self, device: str) -> str:
        for row in self._ask(f"{self._shelf}/volumes", "list the volumes").rows():
            if row.text("device") == device:
                return row.text("name")
        raise not_here("The array", device)

    def own_groups(self) -> tuple[OwnGroup, ...]:
        return ()

    def mappings_of(self, lun: Lun) -> tuple[LunMapping, ...]:
        answer = self._ask(f"{self._shelf}/volumes/{lun.id}/mappings", "list the mappings")
        return tuple(
            LunMapping(
                Group(row.text("host.id"), row.text("host.name")),
                row.number("lun"),
                ours=False,
                initiators=read_initiators(row.texts("host.initiators")),
            )
            for row in answer.rows()
        )

    def plan_group(self, host: str, initiators: Sequence[Initiator]) -> GroupPlan:
        hosts = [
            (row, read_initiators(row.texts("initiators")))
            for row in self._ask("/hosts", "list its hosts").rows()
        ]
        first = [
            initiator
            for initiator in initiators
            for row, _ in hosts
            if initiator.name in row.texts("logged_in")
        ]
        for initiator in [*first, *initiators]:
            for row, own in hosts:
                if initiator in own:
                    mine = tuple(initiator for initiator in initiators if initiator in own)
                    return GroupPlan(Group(row.text("id"), row.text("name"), mine))
        raise StorageError(
            f"The array knows no host with any of {', '.join(map(str, initiators)) or 'no initiators'}.",
            f"Describe {host} on the array.",
        )

    def ensure_group(self, plan: GroupPlan) -> Group:
        return plan.group

    def map(self, lun: Lun, group: Group) -> LunMapping:
        for mapping in self.mappings_of(lun):
            if mapping.initiators & frozenset(group.initiators):
                return mapping
        lun_id = self._repeat(lambda: self._map(lun, group))
        return LunMapping(group, lun_id, True, None, frozenset(group.initiators))

    def unmap(
        self, lun: Lun, host: str, initiators: Collection[Initiator], keep: Collection[LunMapping]
    ) -> None:
        kept = {mapping.group.id for mapping in keep}
        for mapping in self.mappings_of(lun):
            if mapping.group.id not in kept and mapping.initiators & frozenset(initiators):
                self._repeat(partial(self._unmap, lun, mapping.group.id))

    def close(self) -> None:
        self._http.close()

    def _map(self, lun: Lun, group: Group) -> int:
        path = f"{self._shelf}/volumes/{lun.id}/mappings"
        try:
            return self._http.call("POST", path, f"map {lun.name}", body={"host": group.id}).number("lun")
        except Refused as error:
            if error.code != MAPPED:
                raise
        rows = self._http.call("GET", path, "list the mappings").rows()
        return next(row.number("lun") for row in rows if row.text("host.id") == group.id)

    def _unmap(self, lun: Lun, host: str) -> None:
        try:
            self._http.call("DELETE", f"{self._shelf}/volumes/{lun.id}/mappings/{host}", f"unmap {lun.name}")
        except Refused as error:
            if error.code != UNMAPPED:
                raise

    def _ask(self, path: str, act: str) -> Answer:
        return self._repeat(lambda: self._http.call("GET", path, act))

    def _repeat(self, call: Callable[[], Result]) -> Result:
        return retry.READ.run(call, passing, self._clock)


def explain(body: Answer) -> tuple[str, str]:
    """Return code and message of an error."""
    return body.optional("code"), body.optional("message")


def connect(access: Access, clock: Clock) -> ToyArray:
    """Return the driver, for the registry."""
    return ToyArray(access, clock)
