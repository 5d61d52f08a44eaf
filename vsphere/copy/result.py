"""What a copy ends with: a result, or a failure in one sentence with the next step."""

from vsphere.errors import CloneFailed
from vsphere.model import CopyResult, Proof
from vsphere.wrapper.answers import shorten, translate
from vsphere.wrapper.contract import TaskState


def result_of(state: TaskState) -> CopyResult:
    """Return what a task did that has ended."""
    return CopyResult(state.task, state.xcopy_used, state.xcopy, state.fallback)


def failure_of(state: TaskState, host: str) -> CloneFailed:
    """Return what to say of a task that ended, and not well."""
    if state.exit_code == "0":
        return CloneFailed(
            f"vmkfstools on host {host} says it succeeded, but its last line is '{shorten(state.last_line)}'.",
            "Do not use the volume; look at the host's vmkernel.log and start the migration again.",
            result_of(state),
        )
    if state.stopped:
        return CloneFailed(
            f"The copy was stopped on host {host}, and not by us.",
            "Find out who ended it (esxcli vmkfstools taskStop, or by hand), then start the migration again.",
            result_of(state),
        )
    meaning, hint = translate(state.stderr or state.last_line)
    text = f"The copy failed on host {host} with exit code {state.exit_code}: {meaning}."
    return CloneFailed(text, hint, result_of(state))


def differing(proof: Proof, host: str, result: CopyResult | None) -> CloneFailed:
    """Return what to say of a copy that is not what its source is."""
    return CloneFailed(
        f"Source and volume are {proof}, as host {host} reads them: the copy is wrong, or one of them was written to "
        "since.",
        "Do not use the volume. See that the VM is off, and start the migration again. Should it come out like this "
        "again, have the host copy without the array (/DataMover/HardwareAcceleratedMove 0), and ask its vendor.",
        result,
    )


def refused(complaint: str, host: str) -> CloneFailed:
    """Return what to say when the wrapper would not start a copy."""
    meaning, hint = translate(complaint)
    return CloneFailed(f"Host {host} did not start the copy: {meaning}.", hint)


def restarted(host: str) -> CloneFailed:
    """Return what to say of a copy whose host restarted in mid-copy."""
    return CloneFailed(
        f"Host {host} restarted in mid-copy; the LUN holds a part of the disk.",
        "Start the migration again when the host is well. A file named …-rdmdisk-… beside the disk may be left over.",
    )
