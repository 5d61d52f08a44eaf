"""What the Leases of runs that ended badly say of each volume: whose run it was, and where it may have left something.

Two kinds of Leases speak of a volume: that of its one writer (`populator.writer`), and the slots of the hosts that it
was copied on. All of one PVC are one lead. Pure, and believes nothing but what is written: a lead says where to look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lease.overview import SlotState, SlotView, by_dates, moment
from lease.record import Record
from populator.plan.evidence import VolumeNames
from populator.plan.journal import Journal, parse_journal
from populator.writer import GROUP, HOST, SOURCE, Mapped

NAMES = VolumeNames()
EXPIRED = {SlotState.EXPIRED, SlotState.MAYBE_EXPIRED, SlotState.STALE}


@dataclass(frozen=True)
class Trace:
    """A Lease that a run holds, or has left behind."""

    namespace: str
    record: Record
    state: SlotState
    host: str = ""
    """managed object id where it is a host's slot"""

    @property
    def journal(self) -> Journal:
        """Return what its holder reports."""
        return parse_journal(self.facts)

    @property
    def facts(self) -> dict[str, str]:
        """Return the journal as it stands there; nothing where another program has taken the Lease over."""
        return dict(self.record.journal) if self.record.author in {"", self.record.holder} else {}

    @property
    def pod(self) -> str:
        """Return the name of the holder's pod."""
        return self.record.holder.partition("_")[0]


@dataclass(frozen=True)
class Lead:
    """All that Leases say of the runs for one PVC."""

    uid: str
    traces: tuple[Trace, ...]

    @property
    def pvc(self) -> str:
        """Return `namespace/name`."""
        return self._first("pvc")

    @property
    def namespace(self) -> str:
        """Return the PVC's namespace."""
        return self.pvc.partition("/")[0]

    @property
    def volume(self) -> str:
        """Return the PV's name."""
        return self._first("volume")

    @property
    def disk(self) -> str:
        """Return `[datastore] folder/disk.vmdk`."""
        return self._first("disk")

    @property
    def device(self) -> str:
        """Return ESXi's name for the LUN, where a run has found it."""
        return self._first("device")

    @property
    def vendor(self) -> str:
        """Return Forklift's word for the array's kind."""
        return self._first("vendor")

    @property
    def array(self) -> str:
        """Return the array's management address."""
        return self._first("array")

    @property
    def copying(self) -> str:
        """Return the array's id of what it copied onto the volume by itself; else empty."""
        return next((facts[SOURCE] for facts in self._facts() if facts.get(SOURCE)), "")

    @property
    def mapped(self) -> Mapped | None:
        """Return what the volume was mapped to, or was about to be."""
        return next(
            (Mapped(facts[GROUP], facts.get(HOST, "")) for facts in self._facts() if facts.get(GROUP)), None
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the ids of all hosts on which there may be something."""
        named = [trace.host or trace.journal.host_id for trace in self.traces]
        named += [facts.get(HOST, "") for facts in self._facts()]
        return tuple(sorted({host for host in named if host}))

    @property
    def alive(self) -> Trace | None:
        """Return the Lease of a run that is at work."""
        return next((trace for trace in self.traces if trace.state == SlotState.HELD), None)

    @property
    def expired(self) -> tuple[Trace, ...]:
        """Return the Leases that nobody renews any more."""
        return tuple(trace for trace in self.traces if trace.state in EXPIRED)

    @property
    def pod(self) -> str:
        """Return whose run it was."""
        return next((trace.pod for trace in self.expired or self.traces), "")

    @property
    def since(self) -> datetime | None:
        """Return when a run was last heard of, by its own clock."""
        moments = [moment(trace.record.renewed) for trace in self.expired]
        return max((each for each in moments if each), default=None)

    @property
    def left(self) -> str:
        """Return what a run itself has said that it left; empty where it died before it could."""
        return self._first("left")

    def _first(self, name: str) -> str:
        return next((text for trace in self.traces if (text := str(getattr(trace.journal, name)))), "")

    def _facts(self) -> Iterable[dict[str, str]]:
        return (trace.facts for trace in self.traces)


def writer_trace(record: Record, namespace: str, now: datetime) -> Trace | None:
    """Return the trace that a Lease is where it is that of a volume's writer."""
    return Trace(namespace, record, by_dates(record, now)) if NAMES.parse(record.name) else None


def slot_trace(view: SlotView, namespace: str) -> Trace:
    """Return the trace that a host's slot is."""
    return Trace(namespace, view.record, view.state, view.host)


def find_leads(traces: Sequence[Trace]) -> tuple[list[Lead], list[Trace]]:
    """Return what is known of each PVC that an expired Lease speaks of, and the expired Leases that speak of none.

    The writer's Lease comes first: it is held from the beginning to the end of a run.
    """
    by_uid: dict[str, list[Trace]] = {}
    nameless = []
    for trace in sorted(traces, key=lambda each: (each.host, each.record.name)):
        named = NAMES.parse(trace.record.name) if not trace.host else None
        uid = named[0] if named else trace.journal.pvc_uid.lower()
        if uid:
            by_uid.setdefault(uid, []).append(trace)
        elif trace.state in EXPIRED:
            nameless.append(trace)
    leads = [Lead(uid, tuple(found)) for uid, found in sorted(by_uid.items())]
    return [lead for lead in leads if lead.expired], nameless
