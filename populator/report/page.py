"""The metrics page of the contract with Forklift, as text.

Forklift's controller reads the page with regular expressions, so names, labels and number formats are fixed here to
the letter. That is why the page is written by hand and not by a client library, which would call the progress counter
`…_total`.
"""

import threading
from dataclasses import dataclass, field
from enum import StrEnum

from populator.report.lease_metrics import LeaseMetrics

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
    lease: LeaseMetrics | None = None
    """what the page shows of the host lease, from the moment on at which there is one"""
    _samples: dict[tuple[str, str], Sample] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def progress(self, percent: int) -> None:
        """Publish percent; a value below the one before is ignored."""
        with self._lock:
            self.percent = max(self.percent, percent)

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
        with self._lock:
            if result == "success":
                self.percent = 100
            self._samples.pop(("copy_remaining_seconds", ""), None)
            # Fixed notation: the controller's expression knows no exponent.
            self._samples["copy_duration_seconds", ""] = Sample(
                "copy_duration_seconds", labels, f"{seconds:.3f}"
            )

    def render(self) -> tuple[str, bool]:
        """Return the page, and whether it shows the end of the copy."""
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
        return "\n".join(lines) + "\n", any(s.metric == "copy_duration_seconds" for s in samples)

    def _common(self) -> tuple[tuple[str, str], ...]:
        return (
            ("owner_uid", self.owner_uid),
            ("storage_vendor", self.vendor),
            ("clone_method", self.clone_method),
        )

    def _put(self, sample: Sample, key: str = "") -> None:
        with self._lock:
            self._samples[sample.metric, key] = sample
