"""What may go wrong with the lease: one sentence and the next step, for the user."""

from lease.kube.errors import ApiError


class LeaseError(Exception):
    """Base: `text` says what is wrong, `hint` what to do next; neither holds a secret."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


class LeaseLost(LeaseError):
    """The slot is not, or not certainly, ours now: nothing disruptive may start."""


def hopeless(title: str, error: ApiError) -> LeaseError:
    """Return what to say when waiting for a lease cannot help."""
    return LeaseError(f"The {title} cannot be taken. {error.text}", error.hint)
