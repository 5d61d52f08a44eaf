"""A host's shell, as the installer needs it; `vsphere.host.ssh` has one."""

from typing import Protocol

from vsphere.host.ssh import Output


class Shell(Protocol):
    """Runs commands as root."""

    def run(self, command: str, stdin: bytes = b"", seconds: float | None = None) -> Output:
        """Run a command once, to its end; raise `VsphereError` where there is no answer."""
