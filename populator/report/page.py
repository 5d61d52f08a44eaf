"""The metrics page of the contract with Forklift, as text.

Forklift's controller reads the page with regular expressions, so names, labels and number formats are fixed here to
the letter. That is why the page is written by hand and not by a client library, which would call the progress counter
`…_total`.
"""

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from populator.report.lease_metrics import LeaseMetrics
from populator.report.monitors import Monitors

PREFIX = "vsphere_xcopy_volume_populator_"

HELP = {
    "progress": ("counter", "Percent of the disk that is copied"),
    "xcopy_used": ("gauge", "Whether the array moved the bytes (SCSI XCOPY): 0 or 1"),
    "vib_version": ("gauge", "Version of the vmkfstools plugin on the ESXi host"),
    "storage_array_info": ("gauge", "The storage array behind the volume"),
    "source_disk_bytes": ("gauge", "Size of the source disk"),
    "xcopy_operations": ("gauge", "Clone operations of the array for this copy, by outcome"),
    "xcopy_bytes": ("gauge", "Bytes that the array moved for this copy, where the host counts them"),
    "verification_info": ("gauge", "What came of comparing source and volume after the copy"),
    "verified_bytes": ("gauge", "Bytes that were read from source and volume and are equal"),
    "copy_rate_bytes_per_second": ("gauge", "Mean rate of the running copy"),
    "copy_remaining_seconds": ("gauge", "Time that the running copy still takes at that rate"),
    "copy_duration_seconds": (
        "gauge",
        "Duration of the copy, of a failed run from its start; its presence tells that it has ended",
    ),
    "run_info": ("gauge", "What the run copies, and onto what"),
    "host_info": ("gauge", "The ESXi host that the run uses"),
    "progress_timestamp_seconds": ("gauge", "When the running copy last got further, or began"),
    "end_info": ("gauge", "How the run ended; there once nothing more of it can change"),
    "left_behind": ("gauge", "Steps of the undo that failed, or that were left out as unsafe"),
}


class Result(StrEnum):
    """How a copy ended, as Forklift's controller reads it."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True)
class Sample:
    """One line of the page."""

    metric: str
    labels: tuple[tuple[str, str], ...]
    value: str

    def __str__(self) -> str:
        """Return the line in the Prometheus text format, labels in the order given."""
        labels = ",".join(f'{name}="{escape(value)}"' for name, value in self.labels)
        return f"{PREFIX}{self.metric}{{{labels}}} {self.value}"


class Rendered(NamedTuple):
    """The page at a moment."""

    text: str
    copy_ended: bool
    """it shows what the controller waits for"""
    run_ended: bool
    """it shows all that there will be"""


def escape(value: str) -> str:
    """Escape a label's value; braces, at which the controller's expressions would stop, become parentheses."""
    value = value.replace("{", "(").replace("}", ")")
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@dataclass
class Page:
    """What is known so far; every method may be called from any thread and shows on the next scrape."""

    owner_uid: str
    vendor: str
    clone_method: str
    protocol: str = "n/a"
    percent: int = 0
    scraped: threading.Event = field(default_factory=threading.Event)
    """set once a page that shows the end has been served in full to the controller"""
    monitors: Monitors = field(default_factory=Monitors)
    """who else reads the page again and again"""
    host: str = ""
    """name of the ESXi host that is used; empty where none is, or none yet"""
    storage_array: str = ""
    """management address of the array"""
    lease: LeaseMetrics | None = None
    """what the page shows of the host lease, from the moment on at which there is one"""
    _end: dict[str, str] = field(default_factory=lambda: {"xcopy_used": "0", "verified": "n/a"})
    """what is known by now of how the run ends"""
    _samples: dict[tuple[str, str], Sample] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def progress(self, percent: int) -> None:
        """Publish percent; a value below the one before is ignored."""
        with self._lock:
            self.percent = max(self.percent, percent)

    def moved(self, at: float | None) -> None:
        """Publish when the copy last got further, in seconds of the wall clock; None: no copy runs."""
        if at is None:
            with self._lock:
                self._samples.pop(("progress_timestamp_seconds", ""), None)
        else:
            self._put(Sample("progress_timestamp_seconds", (("owner_uid", self.owner_uid),), f"{at:.3f}"))

    def run(self, pvc: str, vm: str, disk: str, storage_array: str) -> None:
        """Publish what the run copies, and onto what; `storage_array` is a management address."""
        self.storage_array = storage_array
        labels = (
            ("owner_uid", self.owner_uid),
            ("pvc", pvc),
            ("vm", vm),
            ("disk", disk),
            ("storage_vendor", self.vendor),
            ("storage_array", storage_array),
        )
        self._put(Sample("run_info", labels, "1"))

    def uses_host(self, name: str) -> None:
        """Publish which ESXi host is used from now on."""
        self.host = name
        self._put(Sample("host_info", (("owner_uid", self.owner_uid), ("host", name)), "1"))

    def vib(self, version: str) -> None:
        """Publish the version of the host's plugin."""
        self._put(Sample("vib_version", (("owner_uid", self.owner_uid), ("version", version)), "1"))

    def array(self, vendor: str, product: str, model: str, version: str) -> None:
        """Publish what the array is; an unknown model or version shows as `n/a`."""
        labels = (
            ("storage_vendor", self.vendor),
            ("storage_array_vendor", vendor),
            ("storage_array_product", product),
            ("storage_array_model", model or "n/a"),
            ("storage_array_version", version or "n/a"),
        )
        self._put(Sample("storage_array_info", labels, "1"))

    def disk(self, provisioned: int, allocated: int | None) -> None:
        """Publish the source disk's sizes in bytes."""
        sizes = {"provisioned": provisioned, "datastore_allocated": allocated}
        for kind, size in sizes.items():
            if size is not None:
                labels = (*self._common(), ("storage_protocol", self.protocol), ("type", kind))
                self._put(Sample("source_disk_bytes", labels, str(size)), kind)

    def pace(self, rate: float, remaining: float | None) -> None:
        """Publish how fast a running copy is, in bytes per second, and how many seconds it still takes."""
        self._put(Sample("copy_rate_bytes_per_second", (("owner_uid", self.owner_uid),), f"{rate:.0f}"))
        if remaining is not None:
            self._put(Sample("copy_remaining_seconds", (("owner_uid", self.owner_uid),), f"{remaining:.0f}"))

    def xcopy(self, operations: int, failed: int, moved: int | None) -> None:
        """Publish what the array did of the copy; `moved` is in bytes."""
        for outcome, number in (("done", operations), ("failed", failed)):
            labels = (("owner_uid", self.owner_uid), ("outcome", outcome))
            self._put(Sample("xcopy_operations", labels, str(number)), outcome)
        if moved is not None:
            self._put(Sample("xcopy_bytes", (("owner_uid", self.owner_uid),), str(moved)))

    def verification(self, outcome: str, equal: int | None) -> None:
        """Publish what came of comparing source and volume; `equal` is in bytes."""
        labels = (("owner_uid", self.owner_uid), ("outcome", outcome))
        self._put(Sample("verification_info", labels, "1"))
        self._end["verified"] = outcome
        if equal is not None:
            self._put(Sample("verified_bytes", labels[:1], str(equal)))

    def finish(self, result: Result, seconds: float, *, xcopy_used: bool) -> None:
        """Publish the end of the copy, or of a run that never came to it: `success` also sets percent to 100."""
        used = str(int(xcopy_used))
        labels = (
            ("owner_uid", self.owner_uid),
            ("result", result),
            *self._common()[1:],
            ("xcopy_used", used),
            ("storage_protocol", self.protocol),
        )
        self._put(Sample("xcopy_used", self._common(), used))
        self._end["xcopy_used"] = used
        self.moved(None)
        with self._lock:
            if result == "success":
                self.percent = 100
            self._samples.pop(("copy_remaining_seconds", ""), None)
            # Fixed notation: the controller's expression knows no exponent.
            self._samples["copy_duration_seconds", ""] = Sample(
                "copy_duration_seconds", labels, f"{seconds:.3f}"
            )

    def end(self, reason: str, exit_code: int, left_behind: int) -> None:
        """Publish how the run ended, after its undo: reason and exit code as in README, and what was not put back."""
        place = (("host", self.host), ("storage_array", self.storage_array))
        labels = (
            ("owner_uid", self.owner_uid),
            ("reason", reason),
            ("exit_code", str(exit_code)),
            *self._common()[1:],
            *self._end.items(),
            *place,
        )
        self._put(Sample("left_behind", (("owner_uid", self.owner_uid), *place), str(left_behind)))
        self._put(Sample("end_info", labels, "1"))

    def render(self) -> Rendered:
        """Return the page as it is now."""
        with self._lock:
            samples = [
                Sample("progress", (("owner_uid", self.owner_uid),), str(self.percent)),
                *self._samples.values(),
            ]
        lines = []
        for metric, (kind, text) in HELP.items():
            found = [str(sample) for sample in samples if sample.metric == metric]
            if found:
                lines += [f"# HELP {PREFIX}{metric} {text}", f"# TYPE {PREFIX}{metric} {kind}", *found]
        if self.lease:
            lines += self.lease.lines()
        shown = {sample.metric for sample in samples}
        return Rendered("\n".join(lines) + "\n", "copy_duration_seconds" in shown, "end_info" in shown)

    def _common(self) -> tuple[tuple[str, str], ...]:
        return (
            ("owner_uid", self.owner_uid),
            ("storage_vendor", self.vendor),
            ("clone_method", self.clone_method),
        )

    def _put(self, sample: Sample, key: str = "") -> None:
        with self._lock:
            self._samples[sample.metric, key] = sample
