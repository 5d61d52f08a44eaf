"""The REST API of a VSP: a method for each call we make, with the API's own fields and error codes.

What changes something is a job. The array is asked to answer when that is done; where it answers before, the job is
asked for. A call is made once. Codes are those that Hitachi's driver in OpenStack Cinder knows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.answer import ODD, Answer
from populator.storage.failures import Refused, Unanswered, beyond_us, passing
from populator.storage.http import Http
from populator.storage.initiators import read_initiator, read_initiators
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.names import HostGroup
from populator.storage.vendors.vantara.session import Session
from vsphere.model import Initiator, InitiatorKind

MISSING = "KART30013-E"
LUN_TAKEN = "B958-0947"
"""another LDEV has the LUN id in the host group; that this LDEV has a path there already is B958-015A"""
BUSY = {
    "KART00003-E",
    "KART40050-E",
    "KART40051-E",
    "KART40052-E",
    "2E11-2205",
    "2E11-2207",
    "EX_EACCES",
}
"""the REST server has too much to do, or somebody else has locked the resource group"""
JOB_SECONDS, FIRST_LOOK, LONGEST_PAUSE = 300.0, 0.5, 8.0
"""for a job that the array does not answer at once; pauses between two looks at it"""
MEMBERS = {InitiatorKind.FC: ("host-wwns", "hostWwn"), InitiatorKind.ISCSI: ("host-iscsis", "iscsiName")}
KINDS = {"FIBRE": InitiatorKind.FC, "FCoE": InitiatorKind.FC, "ISCSI": InitiatorKind.ISCSI}
UNUSABLE = {
    "CMD": "is a command device",
    "JNL": "is a journal volume",
    "POOL": "is a volume of a pool",
    "SYSD": "is a system disk",
}
BLOCK = 512
PAGE = 1000
"""LDEVs in one answer, of the 16,384 that the API allows: each takes up to a kilobyte"""


@dataclass(frozen=True)
class Path:
    """An LU path: a host group sees an LDEV under a LUN id."""

    group: HostGroup
    name: str
    """of the host group"""
    lun_id: int


@dataclass(frozen=True)
class Ldev:
    """An LDEV as the array describes it."""

    id: int
    defined: bool
    """whether there is one of that number"""
    label: str
    size: int
    """bytes"""
    status: str
    attributes: frozenset[str]
    naa: str
    """empty while no host group sees it"""
    resource_group: int
    virtual: int
    """its number in a virtual storage machine, else the same as `id`"""
    paths: tuple[Path, ...]
    pool: int | None
    """None of an LDEV that is in no pool"""


@dataclass(frozen=True)
class Login:
    """An initiator that a port knows."""

    initiator: Initiator
    port: str
    group: HostGroup | None
    """None where the array does not say which host group it belongs to"""
    logged_in: bool


LOOK_AT_JOB = "Look at the job on the array, and at the volume's LU paths; then start the migration again."


class Client:
    """The calls, in one session on one array."""

    def __init__(self, access: Access, clock: Clock) -> None:
        where = names.address(access.hostname, access.options.get("STORAGE_PORT", ""))
        self._session = Session(access)
        self._http = Http(replace(access, hostname=where), clock, "Hitachi", explain, self._session)
        self._clock = clock
        self.name = self._http.name

    def identity(self) -> tuple[str, str]:
        """Return storage device id and serial number of the array."""
        self._http.let_in()
        if self._session.array is None:
            raise AssertionError("the log-in learns it")
        return self._session.array

    def model(self) -> tuple[str, str]:
        """Return model and version of the microcode."""
        answer = self._call("GET", "", "tell its model")
        return answer.optional("model"), answer.optional("dkcMicroVersion")

    def ldev(self, number: int) -> Ldev:
        """Return an LDEV, which may be one that is not defined."""
        record = ldev(self._call("GET", f"/ldevs/{number}", f"report on LDEV {number}"))
        if record.id != number:
            raise Unanswered(
                f"{self.name} was asked for LDEV {number} and answered with LDEV {record.id}.", ODD
            )
        return record

    def seen_ldev(self, resource_group: int) -> Ldev | None:
        """Return any LDEV of a resource group that has an LU path, with its name, which the list may lack."""
        query = {"ldevOption": "luMapped", "resourceGroupId": str(resource_group), "count": "1"}
        rows = self.rows("ldevs", "find an LDEV with an LU path", query)
        seen = next(map(ldev, rows), None)
        return self.ldev(seen.id) if seen and not seen.naa else seen

    def seen_ldevs(self) -> Iterator[Ldev]:
        """Yield all LDEVs that have an LU path; their names may be missing."""
        head = 0
        while True:
            query = {"ldevOption": "luMapped", "headLdevId": str(head), "count": str(PAGE)}
            page = [ldev(row) for row in self.rows("ldevs", "list the LDEVs with an LU path", query)]
            yield from page
            if len(page) < PAGE or page[-1].id < head:
                return
            head = page[-1].id + 1

    def logins(self) -> list[Login]:
        """Return the initiators that each port knows, logged in or not."""
        rows = self.rows("ports", "list the initiators at its ports", {"detailInfoType": "logins"})
        return [login(row, each) for row in rows for each in row.objects("logins") if _initiator_in(each)]

    def host_groups(self, port: str) -> list[HostGroup]:
        """Return the host groups of a port."""
        rows = self.rows("host-groups", f"list the host groups of port {port}", {"portId": port})
        return [HostGroup(row.text("portId"), row.number("hostGroupNumber")) for row in rows]

    def members(self, group: HostGroup) -> frozenset[Initiator]:
        """Return the initiators of a host group; which kind its port serves, shows in which of two lists it is in."""
        query = {"portId": group.port, "hostGroupNumber": str(group.number)}
        refusals, initiators = [], frozenset[Initiator]()
        for what, field in MEMBERS.values():
            try:
                rows = self.rows(what, f"list the initiators of {group}", query)
            except Refused as error:
                if beyond_us(error):
                    raise
                refusals.append(error)
                continue
            initiators |= read_initiators(row.text(field) for row in rows)
            if initiators:
                break
        if len(refusals) == len(MEMBERS):
            raise refusals[0]
        return initiators

    def add_path(self, group: HostGroup, number: int, lun_id: int | None) -> int:
        """Let a host group see an LDEV under a LUN id, or under one of the array's choice; return it."""
        body: dict[str, object] = {
            "portId": group.port,
            "hostGroupNumber": group.number,
            "ldevId": number,
        }
        if lun_id is not None:
            body["lun"] = lun_id
        act = f"let {group} see LDEV {number}"
        made = self.job("POST", "/luns", act, body).texts("affectedResources")
        where, _, got = made[0].rpartition("/")[2].rpartition(",") if made else ("", "", "")
        if where != str(group) or not got.isdecimal():
            raise Unanswered(f"{self.name} was asked to {act} and did not say under which LUN id.", ODD)
        return int(got)

    def remove_path(self, path: Path) -> None:
        """Remove an LU path, which is known by its LUN id and not by its LDEV."""
        self.job("DELETE", f"/luns/{path.group},{path.lun_id}", f"remove an LU path from {path.group}")

    def close(self) -> None:
        """End the session."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        act: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        self._http.let_in()
        try:
            return self._http.call(method, self._session.base + path, act, query, body)
        except Refused as error:
            error.passing |= names.says(error.code, BUSY)
            raise

    def rows(self, what: str, act: str, query: Mapping[str, str]) -> list[Answer]:
        """Return a list of objects."""
        return self._call("GET", f"/{what}", act, query).records("data")

    def job(self, method: str, path: str, act: str, body: object = None) -> Answer:
        """Have a job done; a stop signal lets it come to its end. Raises `Unanswered` where that is not known."""
        with self._clock.finishing():
            job = self._call(method, path, act, body=body)
            number = job.optional("jobId")
            deadline, pause = self._clock.now() + JOB_SECONDS, FIRST_LOOK
            while job.optional("status") != "Completed":
                if not number or self._clock.now() > deadline or self._clock.expired():
                    raise Unanswered(
                        f"{self.name} was asked to {act} and did not say that it is done (job {number or 'unknown'}).",
                        LOOK_AT_JOB,
                    )
                self._clock.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                job = self._look_at(number, act) or job
        return self._ended(job, number, act)

    def _look_at(self, number: str, act: str) -> Answer | None:
        """Return a job as it is now; None where the array cannot say at the moment."""
        try:
            return self._call("GET", f"/jobs/{number}", f"tell whether it could {act}")
        except (Refused, Unanswered) as error:
            if passing(error):
                return None
            raise Unanswered(error.text, error.hint) from error

    def _ended(self, job: Answer, number: str, act: str) -> Answer:
        """Return a job that succeeded; what one in an unknown state has done, nobody knows."""
        state = job.optional("state")
        if state == "Succeeded":
            return job
        if state != "Failed":
            raise Unanswered(
                f"{self.name} was asked to {act}, and its job {number} ended as {state or 'nothing'}.",
                LOOK_AT_JOB,
            )
        code, message = explain(job)
        refusal = Refused(
            f"{self.name} could not {act}: {message.rstrip('.') or 'no reason given'} (job {number}, code {code}).",
            job.optional("error.solution"),
            409,
            code,
        )
        refusal.passing = names.says(code, BUSY) or job.optional("error.solutionType") == "RETRY"
        raise refusal


def explain(body: Answer) -> tuple[str, str]:
    """Return all codes of an error, with blanks between, and its message; it may be the body itself, or in a job."""
    at = "error." if body.find("error") is not None else ""
    ssb = [body.optional(f"{at}errorCode.{name}").upper() for name in ("SSB1", "SSB2")]
    codes = [
        body.optional(f"{at}messageId"),
        "-".join(ssb) if all(ssb) else "",
        body.optional(f"{at}errorCode.errorCode"),
    ]
    texts = [body.optional(f"{at}{name}").rstrip(".") for name in ("message", "cause")]
    return " ".join(filter(None, codes)), ": ".join(dict.fromkeys(filter(None, texts)))


def ldev(row: Answer) -> Ldev:
    """Read an LDEV; most fields are not there where it is not defined."""
    number = row.number("ldevId")
    virtual = row.number_if_any("virtualLdevId")
    defined = row.optional("emulationType", "NOT DEFINED") != "NOT DEFINED"
    return Ldev(
        id=number,
        defined=defined,
        label=row.optional("label"),
        size=row.number("blockCapacity") * BLOCK if defined else 0,
        status=row.optional("status"),
        attributes=frozenset(row.texts("attributes")),
        naa=row.optional("naaId"),
        resource_group=row.number("resourceGroupId") if row.has("resourceGroupId") else 0,
        virtual=number if virtual is None else virtual,
        paths=tuple(map(path, row.objects("ports"))),
        pool=row.number("poolId") if row.has("poolId") else None,
    )


def unusable(ldev: Ldev) -> str:
    """Return why an LDEV holds nobody's data, or cannot be reached; empty where it does, and can."""
    reasons = [words for attribute, words in UNUSABLE.items() if attribute in ldev.attributes]
    if ldev.status not in {"", "NML"}:
        reasons.append(f"has the status {ldev.status}, not NML (normal)")
    return next(iter(reasons), "")


def path(row: Answer) -> Path:
    """Read an LU path."""
    group = HostGroup(row.text("portId"), row.number("hostGroupNumber"))
    return Path(group, row.optional("hostGroupName"), row.number("lun"))


def login(port: Answer, row: Answer) -> Login:
    """Read what a port knows of an initiator."""
    group = row.optional("hostGroupId")
    return Login(
        read_initiator(_initiator_in(row)),
        port.text("portId"),
        names.host_group(group) if group else None,
        str(row.find("isLoggedIn")).lower() != "false",
    )


def _initiator_in(row: Answer) -> str:
    return row.optional("loginWwn") or row.optional("loginIscsiName")
