"""The one table from a family of errors to exit code and reason, and what is said of each; README explains the codes.

A code means the same for every command.
"""

from dataclasses import dataclass

from lease.errors import LeaseError
from lease.kube.errors import ApiError
from populator import errors
from populator.settings.names import KUBECONFIG, NAMES
from vsphere.errors import CloneFailed, CopyMayBeRunning, VsphereError


@dataclass(frozen=True)
class Outcome:
    """How a family of errors ends the process."""

    exit_code: int
    reason: str


SUCCESS = Outcome(0, "Succeeded")

UNEXPECTED = Outcome(1, "UnexpectedError")

BAD_CALL = 2
NEEDS_ATTENTION = 10
"""a command looked, and somebody has something to do"""
NOT_READY = 11
"""a command looked, and what it looked at cannot work as it is"""
INTERRUPTED = 130
"""Ctrl-C ended a command that had nothing to finish or to put back; as shells have it"""
NOBODY_READS = 141
"""whoever read the output went away; as shells have it"""

OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (errors.SettingsError, Outcome(BAD_CALL, "InvalidSettings")),
    (errors.VolumeError, Outcome(3, "VolumeError")),
    (errors.StorageError, Outcome(4, "StorageError")),
    (CopyMayBeRunning, Outcome(8, "CopyMayBeRunning")),
    (CloneFailed, Outcome(7, "CloneFailed")),
    (VsphereError, Outcome(5, "VsphereError")),
    (LeaseError, Outcome(6, "LeaseError")),
    (errors.Cancelled, Outcome(9, "Cancelled")),
)
"""first match counts, so the special ones stand before their base"""


def outcome_of(error: BaseException | None) -> Outcome:
    """Return exit code and reason for an error, or for none."""
    if error is None:
        return SUCCESS
    return next((outcome for family, outcome in OUTCOMES if isinstance(error, family)), UNEXPECTED)


def explain(error: BaseException) -> tuple[str, str]:
    """Return text and hint of an error, of ours or not."""
    if isinstance(error, errors.PopulatorError | VsphereError | LeaseError):
        return error.text, f"{error.hint} {name_of_setting(error)}".strip()
    text = f"Unexpected {type(error).__name__}: {error}"
    return (
        text,
        "Run it again with LOG_LEVEL=debug in the environment, and report it with the trace in that log.",
    )


def name_of_setting(error: BaseException) -> str:
    """Return the sentence with the name of what a hint of a library is about; empty where there is none."""
    if isinstance(error, VsphereError) and error.setting:
        return NAMES[error.setting]
    no_way = isinstance(error.__cause__, ApiError) and error.__cause__.reason == "Config"
    return KUBECONFIG if no_way else ""
