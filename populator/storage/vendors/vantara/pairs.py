"""Thin Image pairs as the REST API has them: a P-VOL, which is read, and an S-VOL.

A pair with the clone attribute is copied whole onto its S-VOL, and then dissolved, by the array itself. One is known by
its P-VOL and an MU number, which is given again as soon as the pair is gone; so what is deleted is the snapshot group,
whose name only runs for these two volumes use. The API's action `restore` writes to the P-VOL; no call here does.
"""

from dataclasses import dataclass

from populator.storage.answer import ODD, Answer
from populator.storage.failures import Unanswered
from populator.storage.vendors.vantara import names
from populator.storage.vendors.vantara.client import Client


@dataclass(frozen=True)
class Pair:
    """A Thin Image pair."""

    id: str
    """`<P-VOL>,<MU number>`"""
    group: str
    """the snapshot group's name"""
    source: str
    """the P-VOL"""
    target: str
    """the S-VOL"""
    status: str
    clone: bool
    """whether it is copied whole, and then dissolved"""
    percent: int


class Pairs:
    """See the module. Calls are made once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def onto(self, target: str) -> list[Pair]:
        """Return the pairs whose S-VOL an LDEV is; it can be that of one at a time."""
        rows = self._client.rows("snapshots", f"list the pairs of LDEV {target}", {"svolLdevId": target})
        pairs = list(map(pair, rows))
        if strange := [each.id for each in pairs if each.target != target]:
            raise Unanswered(
                f"{self._client.name} was asked for the pairs of LDEV {target} and answered with {strange[0]}.",
                ODD,
            )
        return pairs

    def clone(self, source: str, target: str, pool: int, speed: str) -> str:
        """Make a pair that is cloned at once, and return its id; a P-VOL with capacity saving is one like any other."""
        body = {
            "snapshotGroupName": names.pair_group(source, target),
            "snapshotPoolId": pool,
            "pvolLdevId": int(source),
            "svolLdevId": int(target),
            "isClone": True,
            "clonesAutomation": True,
            "copySpeed": speed,
            "isDataReductionForceCopy": True,
        }
        act = f"copy LDEV {source} onto LDEV {target}"
        made = self._client.job("POST", "/snapshots", act, body).texts("affectedResources")
        key = made[0].rpartition("/")[2] if made else ""
        if key.partition(",")[0] != source:
            raise Unanswered(
                f"{self._client.name} was asked to {act} and did not say which pair that is.", ODD
            )
        return key

    def delete(self, group: str) -> None:
        """Delete the pairs of a snapshot group, whatever they have copied by then."""
        self._client.job("DELETE", f"/snapshot-groups/{group}", f"delete the snapshot group {group}")


def pair(row: Answer) -> Pair:
    """Read a pair."""
    source = row.number("pvolLdevId")
    return Pair(
        id=f"{source},{row.number('muNumber')}",
        group=row.optional("snapshotGroupName"),
        source=str(source),
        target=row.optional("svolLdevId"),
        status=row.text("status"),
        clone=row.find("isClone") is True,
        percent=row.number("progressRate") if row.has("progressRate") else 0,
    )
