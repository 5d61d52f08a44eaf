"""Storage Virtualize's REST API, version 1: a method for each command we send, with its own fields and error codes.

All calls are POST: a command's argument is the last part of the path, its options are the body. Facts are those of
IBM's documents of the command line, and of IBM's own clients: the block storage CSI driver, the Ansible collection.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus

from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.address import with_port
from populator.storage.answer import Answer
from populator.storage.copies import Copy
from populator.storage.failures import Refused, beyond_us
from populator.storage.http import Http
from populator.storage.initiators import in_capitals
from populator.storage.vendors.flashsystem import names, records
from populator.storage.vendors.flashsystem.records import (
    FlashCopyRecord,
    HostRecord,
    MapRecord,
    SystemRecord,
    VolumeRecord,
)
from populator.storage.vendors.flashsystem.session import API, Session
from vsphere.model import Initiator, InitiatorKind

PORT = 7443
"""of the REST API, always"""
CODE = re.compile(r"CMMVC\d{4}[EWI]")
MISSING = {"CMMVC5753E", "CMMVC5754E", "CMMVC5804E", "CMMVC5868E", "CMMVC8957E"}
"""there is no such object"""
NAME_TAKEN, ID_TAKEN = "CMMVC6035E", "CMMVC5879E"
PORT_TAKEN = {"CMMVC5867E", "CMMVC6578E"}
"""the port is another host's, or no port"""
NOT_ALLOWED = "CMMVC6253E"
"""the user's role does not allow the command"""
COPY_RATE = 130
"""of FlashCopy, which is 512 MB a second; the array's own default is 2 MB, and with 0 nothing is copied"""
PAUSE = 1.0
"""seconds after too many requests, at least; it grows"""
BUSY = (
    "It serves 4 tokens, 3 log-ins and 10 commands a second for all its clients: see what else uses its REST API, and "
    "let fewer disks be copied at once."
)
ROLE = "Give the user of STORAGE_USERNAME a role that allows this, such as Administrator."


class Client:
    """The commands, in one session; each is sent once, but for a token that has expired."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._session = Session(access, clock)
        where = replace(access, hostname=with_port(access.hostname, PORT))
        self._http = Http(where, clock, "FlashSystem", explain, self._session)
        self.name = self._http.name

    def system(self) -> SystemRecord:
        """Return what the array is."""
        return records.system(self._call("lssystem", "report its model and version"))

    def volumes(self, uid: str) -> list[VolumeRecord]:
        """Return the volumes of a UID, in upper case as the array has it: its filters tell the case apart."""
        rows = self._call("lsvdisk", f"find the volume {uid}", filtervalue=f"vdisk_UID={uid}", bytes=True)
        return [record for record in map(records.volume, rows.rows()) if record.uid == uid]

    def is_protected(self, pool: str) -> bool:
        """Return whether volume protection is on for the volumes of a pool."""
        answer = self._call("lsmdiskgrp", f"report on the pool {pool}", pool)
        return answer.optional("vdisk_protection_enabled", records.YES) == records.YES

    def owners(self) -> dict[Initiator, str] | None:
        """Return all initiators and the hosts that have them; None where the array does not know this command.

        Only the Go populator is known to use it.
        """
        try:
            return records.owners(self._call("lshostports", "list its hosts' ports").rows())
        except Refused as refusal:
            if beyond_us(refusal):
                raise
            return None

    def seen_as(self, initiator: Initiator) -> tuple[bool, str]:
        """Return whether an initiator is logged in, and its host, which is empty where it has none."""
        act = "list its log-ins"
        try:
            if initiator.kind == InitiatorKind.FC:
                rows = self._call("lsfabric", act, wwpn=in_capitals(initiator)).rows()
                return bool(rows), next(filter(None, (row.optional("name") for row in rows)), "")
            return True, self._call("lshostiplogin", act, initiator.name).optional("host_name")
        except Refused as refusal:
            if beyond_us(refusal):
                raise
            return False, ""  # no such initiator, or a release that does not know the command

    def hosts(self) -> list[str]:
        """Return the names of all hosts."""
        return [row.text("name") for row in self._call("lshost", "list its hosts").rows()]

    def host(self, name: str) -> HostRecord | None:
        """Return a host, if there is one of that name."""
        try:
            return records.host(self._call("lshost", f"report on the host {name}", name))
        except Refused as refusal:
            if refusal.code not in MISSING:
                raise
            return None

    def create_host(self, name: str, initiators: Iterable[Initiator]) -> None:
        """Create a host with initiators of one kind, logged in or not."""
        self._call(
            "mkhost",
            f"create the host {name}",
            name=name,
            force=True,
            protocol="scsi",
            type="generic",
            **names.ports(initiators),
        )

    def add_ports(self, name: str, initiators: Iterable[Initiator]) -> None:
        """Add initiators of one kind to a host."""
        act = f"add initiators to the host {name}"
        self._call("addhostport", act, name, force=True, **names.ports(initiators))

    def delete_host(self, name: str) -> None:
        """Delete a host; refused where anything is mapped to it."""
        self._call("rmhost", f"delete the host {name}", name)

    def mappings(self, volume: str) -> list[MapRecord]:
        """Return all hosts that a volume is mapped to; none where there is no such volume."""
        try:
            rows = self._call("lsvdiskhostmap", "list the volume's mappings", volume).rows()
        except Refused as refusal:
            if refusal.code not in MISSING:
                raise
            return []
        return [records.mapping(row) for row in rows]

    def lun_ids(self, host: str) -> set[int]:
        """Return the LUN ids that a host has; none where there is no such host."""
        try:
            rows = self._call("lshostvdiskmap", f"list the mappings of the host {host}", host).rows()
        except Refused as refusal:
            if refusal.code not in MISSING:
                raise
            return set()
        return {int(records.whole(row, "SCSI_id")) for row in rows}

    def map(self, volume: str, host: str, lun_id: int) -> None:
        """Map a volume to a host, whoever else sees it."""
        self._call("mkvdiskhostmap", f"map the volume to {host}", volume, host=host, scsi=lun_id, force=True)

    def unmap(self, volume: str, host: str) -> None:
        """Take a volume from a host."""
        self._call("rmvdiskhostmap", f"unmap the volume from {host}", volume, host=host)

    def flash_copies(self, target: str) -> list[FlashCopyRecord]:
        """Return the FlashCopy mappings onto a volume."""
        act = "list the FlashCopy mappings onto the volume"
        rows = self._call("lsfcmap", act, filtervalue=f"target_vdisk_id={target}").rows()
        return [record for record in map(records.flash_copy, rows) if record.target == target]

    def flash_copy(self, copy: Copy) -> FlashCopyRecord | None:
        """Return the FlashCopy mapping of a copy, unless it is gone, or other volumes' by now."""
        return next((record for record in self.flash_copies(copy.target) if record.copy == copy), None)

    def create_flash_copy(self, name: str, source: str, target: str) -> None:
        """Create a FlashCopy mapping, by which nothing is copied yet; it stays until it is deleted."""
        act = f"create the FlashCopy mapping {name}"
        rates = {"copyrate": COPY_RATE, "cleanrate": COPY_RATE}
        self._call("mkfcmap", act, name=name, source=source, target=target, **rates)

    def start_flash_copy(self, name: str, *, prepare: bool) -> None:
        """Start a FlashCopy mapping, never with `restore`: refused where others read by its target."""
        options = {"prep": True} if prepare else {}
        self._call("startfcmap", f"start the FlashCopy mapping {name}", name, **options)

    def stop_flash_copy(self, name: str) -> None:
        """Stop a FlashCopy mapping, never with `force`, which would stop others', too; the target may go offline."""
        self._call("stopfcmap", f"stop the FlashCopy mapping {name}", name)

    def delete_flash_copy(self, name: str, *, stopped: bool = False) -> None:
        """Delete an idle FlashCopy mapping, or a stopped one, whose target is then usable again."""
        options = {"force": True} if stopped else {}
        self._call("rmfcmap", f"delete the FlashCopy mapping {name}", name, **options)

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def _call(self, command: str, act: str, *arguments: str, **options: object) -> Answer:
        """Send a command; codes that end with W are warnings, with which it was done.

        A token that replaced an expired one may have expired as well, since it may be one of another run: so this is
        done twice where the token is refused.
        """
        path = "/".join([API, command, *map(names.part, arguments)])
        for last in (False, True):
            try:
                return self._http.call("POST", path, act, body=options, reads=command.startswith("ls"))
            except Refused as refusal:
                if refusal.code.endswith("W"):
                    return Answer({}, self.name)
                _complete(refusal)
                if last or not self._session.expired(refusal):
                    raise
        raise AssertionError("the last try returns or raises")


def explain(body: Answer) -> tuple[str, str]:
    """Return code and text of an error, which is a JSON text, such as `error code: 1, error text: CMMVC5754E …`."""
    text = body.string()
    code = CODE.search(text)
    return (code[0], text[code.end() :].strip()) if code else ("", text)


def _complete(refusal: Refused) -> None:
    """Add what is known of the array: what it answers with a code of its own is final, whatever the status."""
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        refusal.retry_after, refusal.hint = max(refusal.retry_after, PAUSE), BUSY
    elif refusal.code:
        refusal.passing = False
        if refusal.code == NOT_ALLOWED:
            refusal.hint = ROLE
