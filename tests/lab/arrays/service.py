"""What the simulators of management APIs have in common: where they are reached, and when they end."""

from typing import Self

from tests.lab.arrays.rest import RestServer


class Service:
    """A simulator that is served by `server` from its making to `close`."""

    server: RestServer

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def address(self) -> str:
        """As for STORAGE_HOSTNAME."""
        return self.server.address

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Method and path of each call, oldest first; may be cleared."""
        return self.server.calls

    def close(self) -> None:
        self.server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
