"""The one table from a family of errors to exit code and reason, and what is said of each."""

from dataclasses import dataclass

from lease.errors import LeaseError
from populator import errors
from vsphere.errors import CloneFailed, CopyMayBeRunning, VsphereError


@dataclass(frozen=True)
class Outcome:
    """How a family of errors ends the process."""

    exit_code: int
    reason: str


SUCCESS = Outcome(0, "Succeeded")

UNEXPECTED = Outcome(1, "UnexpectedError")

OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (errors.SettingsError, Outcome(2, "InvalidSettings")),
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
        return error.text, error.hint
    text = f"Unexpected {type(error).__name__}: {error}"
    return (
        text,
        "Run it again with LOG_LEVEL=debug in the environment, and report it with the trace in that log.",
    )
