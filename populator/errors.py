"""What may go wrong here, in words for the user: one sentence and the next step.

Families decide the exit code (see `report`); facts beyond the sentence are attributes. The families of
`vsphere` and `lease` live in those packages, since they know nothing of this one, and have the same shape.
"""


class PopulatorError(Exception):
    """Base of our errors: `text` says what is wrong, `hint` what to do next; neither holds a secret."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


class SettingsError(PopulatorError):
    """Arguments or environment are wrong; `problems` lists all of them, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems), "Correct the arguments, or the Secret they come from.")
        self.problems = problems


class VolumeError(PopulatorError):
    """The Kubernetes side: PVC, prime PVC or PV cannot be read, or do not lead to a volume."""


class StorageError(PopulatorError):
    """The array refused, is out of reach, or holds something else than we expect."""


class HostUnknown(StorageError):
    """The array cannot let a host see a LUN: it knows none of its initiators, or they contradict each other."""


class Cancelled(PopulatorError):
    """The process was told to stop (SIGTERM)."""

    def __init__(self) -> None:
        super().__init__(
            "Stopped by SIGTERM before the copy was complete.",
            "Start the migration again if this was not meant.",
        )
