"""Thin Image pairs of a VSP: their states, the bytes that they copy, and the calls by which clients have them.

A pair with the clone attribute goes COPY, PAIR, PSUP (copying), SMPP, gone; one that is deleted SMPP, gone, with what
it has copied by then on its S-VOL. `restore` writes to the P-VOL, as it does on an array. Codes that neither the REST
reference nor Hitachi's driver in Cinder names are made up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.lab.arrays.rest import Reply, Request
from tests.lab.arrays.vantara.system import INVALID, MISSING, OTHER, Failure, SimLdev
from tests.lab.san import LunFile, San
from tests.lab.transfer import State, Transfer

NO_POOL, S_VOL_IN_USE = ("2E30", "600E"), ("2E30", "0078")
MU_NUMBERS = range(3, 1024)
SPEEDS = {"slower", "medium", "faster"}
SHARING = "DRS"
Record = dict[str, Any]
Act = Callable[[], str]


@dataclass
class SimPair:
    group: str
    pvol: int
    svol: int | None
    mu: int
    pool: int
    clone: bool
    speed: str
    cascade: bool
    force: bool
    """whether a P-VOL with capacity saving is copied all the same"""
    states: list[str] = field(default_factory=list)
    """to be shown first, each for one look"""
    transfer: Transfer | None = None
    stuck: str = ""
    """the state that it stays in: PAIR and PSUS until somebody acts, or what a test says"""
    leaving: int | None = None
    """looks at it until it is gone, once it is SMPP"""

    @property
    def id(self) -> str:
        return f"{self.pvol},{self.mu}"

    @property
    def status(self) -> str:
        if self.leaving is not None:
            return "SMPP"
        if self.stuck:
            return self.stuck
        if self.states:
            return self.states[0]
        if self.transfer and self.transfer.state == State.FAILED:
            return "PSUE"
        return "PSUP"


@dataclass
class Pairs:
    """All pairs, and what may be set of them at any time."""

    ldevs: dict[int, SimLdev]
    san: San
    pools: set[int] = field(default_factory=lambda: {0})
    all: list[SimPair] = field(default_factory=list)
    made: list[SimPair] = field(default_factory=list)
    """all there ever were"""
    copy_seconds: float = 0.0
    first_states: tuple[str, ...] = ()
    """that a pair is in before it copies, each for one look"""
    leaving_looks: int = 1
    """for how many looks a pair is SMPP before it is gone"""

    def create(self, pair: SimPair, *, copies: bool) -> SimPair:
        """Make a pair; refuse what an array refuses."""
        pvol, svol = self._ldev(pair.pvol), None if pair.svol is None else self._ldev(pair.svol)
        self._check_pools(pair, pvol)
        if svol is not None:
            self._check_s_vol(pair, pvol, svol)
        if pvol.data_reduction != "disabled" and not pair.force:
            raise Failure(OTHER, "The P-VOL has capacity saving; force the copy.", ("2E30", "8018"))
        used = {each.mu for each in self.all if each.pvol == pair.pvol}
        free = [mu for mu in MU_NUMBERS if mu not in used]
        if not free:
            raise Failure(OTHER, "The P-VOL has no free MU number.", ("2E30", "0065"))
        pair.mu = free[0]
        pair.states = list(self.first_states)
        pair.stuck = "" if copies else "PAIR"
        self.all.append(pair)
        self.made.append(pair)
        if copies:
            self.start(pair)
        return pair

    def start(self, pair: SimPair) -> None:
        """Copy all of the P-VOL onto the S-VOL."""
        pair.stuck = ""
        pair.transfer = Transfer(self._file(pair.pvol), self._file(pair.svol), self.copy_seconds)

    def restore(self, pair: SimPair) -> None:
        """Write the S-VOL's bytes back to the P-VOL."""
        if pair.clone or pair.svol is None:
            raise Failure(OTHER, "The pair cannot be restored.", ("2E30", "8013"), status=412)
        Transfer(self._file(pair.svol), self._file(pair.pvol))

    def delete(self, pair: SimPair) -> None:
        """Begin to remove a pair; nothing more is copied."""
        if pair.transfer:
            pair.transfer.end()
        if pair.leaving is None:
            self._leave(pair)

    def look(self, ldev: int | None = None) -> None:
        """Let pairs go on, those of one LDEV or all: each look is a moment later."""
        for pair in [each for each in self.all if ldev in {None, each.pvol, each.svol}]:
            if pair.leaving is not None:
                pair.leaving -= 1
            elif pair.states:
                pair.states.pop(0)
            elif not pair.stuck and pair.transfer and pair.transfer.state == State.COMPLETE:
                self._leave(pair)
        self.all = [pair for pair in self.all if pair.leaving is None or pair.leaving > 0]

    def of(self, ldev: int) -> Iterator[SimPair]:
        """Yield the pairs that an LDEV is in."""
        return (pair for pair in self.all if ldev in {pair.pvol, pair.svol})

    def clear(self) -> None:
        """End all pairs at once."""
        for pair in self.all:
            if pair.transfer:
                pair.transfer.end()
        self.all.clear()

    def find(self, key: str) -> SimPair:
        for pair in self.all:
            if pair.id == key:
                return pair
        raise Failure(MISSING, f"The pair {key} does not exist.", status=404)

    def _leave(self, pair: SimPair) -> None:
        pair.leaving = self.leaving_looks
        if not pair.leaving:
            self.all.remove(pair)

    def _check_pools(self, pair: SimPair, pvol: SimLdev) -> None:
        if pair.pool not in self.pools:
            raise Failure(OTHER, "The pool cannot be used for Thin Image.", NO_POOL)
        if pair.clone and SHARING in pvol.attributes:
            raise Failure(
                OTHER, "The clone attribute cannot be used with Thin Image Advanced.", ("2E30", "8020")
            )
        if any(other.svol == pair.pvol and other.clone for other in self.all):
            raise Failure(OTHER, "The P-VOL is being cloned onto.", ("2E30", "8014"))

    def _check_s_vol(self, pair: SimPair, pvol: SimLdev, svol: SimLdev) -> None:
        if pvol is svol:
            raise Failure(OTHER, "P-VOL and S-VOL are the same volume.", ("2E30", "0013"))
        if any(other.svol == pair.svol for other in self.all):
            raise Failure(OTHER, "The S-VOL is used by another pair.", S_VOL_IN_USE)
        if pair.clone and any(other.pvol == pair.svol for other in self.all):
            raise Failure(OTHER, "The S-VOL is the P-VOL of a pair.", ("2E30", "8015"))
        if pvol.blocks != svol.blocks:
            raise Failure(OTHER, "P-VOL and S-VOL differ in capacity.", ("2E30", "0035"))
        if pair.clone and ("HDP" not in svol.attributes or SHARING in svol.attributes):
            raise Failure(OTHER, "The S-VOL is no DP volume that can be cloned onto.", ("2E30", "8016"))

    def _ldev(self, number: int) -> SimLdev:
        if number not in self.ldevs:
            raise Failure(OTHER, f"The LDEV {number} is not defined.", ("2E10", "9705"))
        return self.ldevs[number]

    def _file(self, number: int | None) -> LunFile:
        if number is None:
            raise Failure(OTHER, "The pair has no S-VOL.", ("2E30", "8017"), status=412)
        return self.san.lun(f"naa.{self._ldev(number).naa}")


class SnapshotApi:
    """The calls; what changes something is a job, which `job` makes."""

    def __init__(
        self, pairs: Pairs, job: Callable[[Request, Act], Reply], given: Callable[..., Record]
    ) -> None:
        self.pairs, self._job, self._given = pairs, job, given

    def table(self) -> dict[tuple[str, str, bool], Callable[[Request, str], Reply]]:
        return {
            ("GET", "snapshots", False): self._list,
            ("GET", "snapshots", True): self._get,
            ("POST", "snapshots", False): self._post,
            ("DELETE", "snapshots", True): self._delete,
            ("POST", "snapshots", True): self._act,
            ("PUT", "snapshots", True): self._act,
            ("GET", "snapshot-groups", False): self._list_groups,
            ("GET", "snapshot-groups", True): self._get_group,
            ("DELETE", "snapshot-groups", True): self._delete_group,
        }

    def _list(self, request: Request, _key: str) -> Reply:
        query = request.query
        known = {"pvolLdevId", "svolLdevId", "muNumber", "snapshotGroupName", "detailInfoType"}
        if not query.keys() <= known or not query.keys() & {"pvolLdevId", "svolLdevId"}:
            raise Failure(INVALID, "The query is not one of those that can be made.")
        self.pairs.look()
        names = {"pvolLdevId": "pvol", "svolLdevId": "svol", "muNumber": "mu", "snapshotGroupName": "group"}
        asked = {names[name]: value for name, value in query.items() if name in names}
        rows = [
            record(pair)
            for pair in self.pairs.all
            if all(str(getattr(pair, name)) == value for name, value in asked.items())
        ]
        return Reply(200, {"data": rows})

    def _get(self, _request: Request, key: str) -> Reply:
        self.pairs.look()
        return Reply(200, record(self.pairs.find(key)))

    def _post(self, request: Request, _key: str) -> Reply:
        required = {"snapshotGroupName": str, "snapshotPoolId": int, "pvolLdevId": int}
        flags = ("isClone", "clonesAutomation", "canCascade", "autoSplit", "isConsistencyGroup")
        optional = {"svolLdevId": int, "copySpeed": str, "muNumber": int, "isDataReductionForceCopy": bool}
        body = self._given(request.body, required, optional | dict.fromkeys(flags, bool))
        clone, split = body.get("isClone", False), body.get("autoSplit", False)
        speed = body.get("copySpeed", "medium").lower()
        wrong = (
            not 1 <= len(body["snapshotGroupName"]) <= 32,
            clone and ("svolLdevId" not in body or split or not body.get("canCascade", True)),
            body.get("clonesAutomation", False) and not clone,
            speed not in SPEEDS,
        )
        if any(wrong):
            raise Failure(INVALID, "The combination of attributes is invalid.")
        pair = SimPair(
            group=body["snapshotGroupName"],
            pvol=body["pvolLdevId"],
            svol=body.get("svolLdevId"),
            mu=0,
            pool=body["snapshotPoolId"],
            clone=clone,
            speed=speed,
            cascade=bool(body.get("canCascade", clone)),
            force=body.get("isDataReductionForceCopy", False),
        )

        def create() -> str:
            made = self.pairs.create(pair, copies=body.get("clonesAutomation", False))
            if split:
                made.stuck = "PSUS"
            return f"snapshots/{made.id}"

        return self._job(request, create)

    def _delete(self, request: Request, key: str) -> Reply:
        def delete() -> str:
            self.pairs.delete(self.pairs.find(key))
            return f"snapshots/{key}"

        return self._job(request, delete)

    def _act(self, request: Request, key: str) -> Reply:
        pair_id, _, action = key.partition("/actions/")
        acts = {
            "clone/invoke": self.pairs.start,
            "restore/invoke": self.pairs.restore,
            "split/invoke": self._split,
            "unassign-volume/invoke": self._unassign,
        }
        if action not in acts:
            raise Failure(MISSING, "The action is not known.", status=404)

        def act() -> str:
            acts[action](self.pairs.find(pair_id))
            return f"snapshots/{pair_id}"

        return self._job(request, act)

    def _split(self, pair: SimPair) -> None:
        if pair.clone:
            raise Failure(OTHER, "A clone is not split, but cloned.", ("2E30", "8011"), status=412)
        pair.stuck = "PSUS"

    def _unassign(self, pair: SimPair) -> None:
        if pair.clone:
            raise Failure(OTHER, "The S-VOL of a clone cannot be taken away.", ("2E30", "8012"), status=412)
        pair.svol = None

    def _list_groups(self, _request: Request, _key: str) -> Reply:
        names = sorted({pair.group for pair in self.pairs.all})
        return Reply(200, {"data": [{"snapshotGroupName": name, "snapshotGroupId": name} for name in names]})

    def _get_group(self, _request: Request, key: str) -> Reply:
        rows = [record(pair) for pair in self._of_group(key)]
        return Reply(200, {"snapshotGroupName": key, "snapshotGroupId": key, "snapshots": rows})

    def _delete_group(self, request: Request, key: str) -> Reply:
        def delete() -> str:
            for pair in self._of_group(key):
                self.pairs.delete(pair)
            return f"snapshot-groups/{key}"

        return self._job(request, delete)

    def _of_group(self, key: str) -> list[SimPair]:
        pairs = [pair for pair in self.pairs.all if pair.group == key]
        if not pairs:
            raise Failure(MISSING, f"The snapshot group {key} does not exist.", status=404)
        return pairs


def record(pair: SimPair) -> Record:
    """Return a pair as the API has it."""
    row: Record = {
        "snapshotGroupName": pair.group,
        "primaryOrSecondary": "P-VOL",
        "status": pair.status,
        "pvolLdevId": pair.pvol,
        "muNumber": pair.mu,
        "snapshotPoolId": pair.pool,
        "concordanceRate": 100,
        "isConsistencyGroup": False,
        "isWrittenInSvol": False,
        "isClone": pair.clone,
        "canCascade": pair.cascade,
        "isRedirectOnWrite": False,
        "snapshotId": pair.id,
        "pvolProcessingStatus": "E" if pair.status == "PSUE" else "N",
        "snapshotDataReadOnly": False,
    }
    if pair.svol is not None:
        row["svolLdevId"] = pair.svol
    if pair.status == "PSUP" and pair.transfer:
        row["progressRate"] = pair.transfer.percent
    return row
