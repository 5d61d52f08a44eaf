"""What stands behind the contract of the story that puts things in order; see `wiring`. Imported late: it is slow."""

from functools import cached_property

from lease.errors import LeaseError
from lease.expired import free_expired
from lease.hostlock import HostLock
from lease.kube import errors
from lease.kube.api import ApiError
from lease.overview import Names
from lease.record import Record, leases_path, parse_record
from lease.throughout import CopyLock
from lease.watch import read_slots
from populator.clock import Clock
from populator.leads import Lead, Trace, find_leads, slot_trace, writer_trace
from populator.plan.volume import find_volume
from populator.settings.values import SLOTS, RecoverySettings, TargetSettings
from populator.storage import registry
from populator.storage.array import OwnGroup, Volume
from populator.stories.parts import HostLease
from populator.wiring import Site
from populator.writer import Writer
from vsphere.model import EsxiHost
from vsphere.vcenter.datastore import Datastore
from vsphere.vcenter.inventory import find_host_by_id
from vsphere.wrapper.by_ssh import Script
from vsphere.wrapper.upload import OurScript, look_for_script

ALL_LEASES = "/apis/coordination.k8s.io/v1/leases"


class RealRecovery(Site):
    """The real parts; satisfies `stories.recovery_parts.RecoveryParts`, which says what each is."""

    def __init__(self, settings: RecoverySettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self.settings = settings
        self._seen = 0.0

    @property
    def leads(self) -> list[Lead]:
        """What the Leases say; raises `LeaseError` where they cannot be read."""
        return self._found[0]

    @property
    def nameless(self) -> list[Trace]:
        """Expired slots that speak of no volume, as those of other programs."""
        return self._found[1]

    def pod_runs(self, namespace: str, name: str) -> bool:
        """Return whether a pod is known to run still."""
        try:
            pod = self._api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except ApiError:
            return False
        status = pod.get("status")
        return isinstance(status, dict) and status.get("phase") == "Running"

    def find_volume(self, lead: Lead) -> Volume | None:
        """Return the volume; raises for another vendor's."""
        namespace, _, name = lead.pvc.partition("/")
        volume = find_volume(self._api, lead.volume, [(namespace, name)], self.clock)
        if volume:
            registry.check_driver(volume, self.settings.storage.vendor)
        return volume

    def writer(self, lead: Lead) -> Writer:
        """Return the place of the volume's one writer."""
        namespace, _, name = lead.pvc.partition("/")
        target = TargetSettings(namespace, name, lead.uid)
        return Writer(self._api, target, self._identity, self.settings.lease.duration, self.clock)

    def find_host(self, host: str) -> EsxiHost:
        """Return a host."""
        return find_host_by_id(self._session, host)

    @cached_property
    def host_lease(self) -> HostLease:
        """The lease of ESXi hosts, held for all steps on one."""
        settings = self.settings.lease
        lock = HostLock(
            self._api,
            namespace=settings.namespace,
            identity=self._identity,
            duration=settings.duration,
            clock=self.clock,
            slots=SLOTS,
            template=settings.template,
        )
        return CopyLock(lock, self.clock)

    def free(self, trace: Trace) -> bool:
        """Free a slot whose holder is dead."""
        try:
            return free_expired(self._api, trace.namespace, trace.record, self._seen, self.clock)
        except ApiError as error:
            raise LeaseError(error.text, error.hint) from error

    def _provide(self, script: Script, store: Datastore, ours: OurScript) -> None:
        """Have the host start our script, where anything is to be changed."""
        if self.settings.apply:
            super()._provide(script, store, ours)
        else:
            look_for_script(script, store, ours)

    @property
    def strays(self) -> list[OwnGroup]:
        """Groups of populators on the array, but for hosts of which a Lease speaks that a run holds or has left."""
        held = [trace for trace in self._traces if trace.record.holder]
        hosts = {host for trace in held for host in (trace.host, trace.journal.host_id)}
        return [group for group in self.array.own_groups() if group.host not in hosts]

    @cached_property
    def _found(self) -> tuple[list[Lead], list[Trace]]:
        return find_leads(self._traces)

    @cached_property
    def _traces(self) -> list[Trace]:
        settings, now = self.settings, self.clock.utc()
        self._seen = self.clock.now()
        try:
            names = Names(settings.lease.template)
            slots = read_slots(self._api, settings.lease.namespace, names, now)
            records = [pair for path in self._paths() for pair in self._leases(path)]
        except ApiError as error:
            raise LeaseError(
                error.text, errors.grant(error, "list") if error.forbidden else error.hint
            ) from error
        writers = (writer_trace(record, namespace, now) for namespace, record in records)
        return [
            *(trace for trace in writers if trace),
            *(slot_trace(slot, settings.lease.namespace) for slot in slots),
        ]

    def _paths(self) -> list[str]:
        return [leases_path(name) for name in self.settings.namespaces] or [ALL_LEASES]

    def _leases(self, path: str) -> list[tuple[str, Record]]:
        """Return Leases with the namespaces they are in."""
        found = self._api.get(path).get("items") or []
        return [
            (str((item.get("metadata") or {}).get("namespace") or ""), parse_record(item)) for item in found
        ]
