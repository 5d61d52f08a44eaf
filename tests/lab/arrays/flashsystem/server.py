"""The REST API of a simulated FlashSystem: POST alone, a token in each call, the command line's words for errors.

What `/rest/v1` refuses is a 409, what the older `/rest` refuses a 500; both say it in a JSON text. A flag may stand in
the path, as IBM's own modules put it there, and a body that is `null` is one without options.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from tests.lab.arrays.flashsystem.commands import Commands
from tests.lab.arrays.flashsystem.flashcopy import FlashCopies
from tests.lab.arrays.flashsystem.sessions import ADMINISTRATOR, Sessions, User
from tests.lab.arrays.flashsystem.system import NO_SUCH_COMMAND, NOT_ALLOWED, Failure, SimVolume, System
from tests.lab.arrays.rest import Reply, Request, RestServer
from tests.lab.arrays.service import Service
from tests.lab.san import San

V1, OLD = "/rest/v1/", "/rest/"
TOO_MANY = Reply(429, ["Too Many Requests"])


class FlashSystemSimulator(System, Service):
    """Runs from its making to `close`.

    May be set at any time besides what `System`, `FlashCopies`, `Commands` and `Sessions` have: `refuses_with` (of
    `/rest/v1`), and `stale` (the status for a token that is not valid).
    """

    def __init__(
        self,
        san: San,
        context: ssl.SSLContext,
        users: Mapping[str, User],
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        super().__init__(san)
        self.flashcopies = FlashCopies(self)
        self.commands = Commands(self, self.flashcopies)
        self.sessions = Sessions(users)
        self.refuses_with = 409
        self.stale = 403
        self.server = RestServer("flashsystem", context, self._respond, address)

    def remove_volume(self, volume: SimVolume) -> None:
        """Delete a volume, and its FlashCopy mappings with it."""
        self.flashcopies.drop_all_of(volume)
        super().remove_volume(volume)

    def before(self, command: str, action: Any, times: int = 1) -> None:
        """Step in right before so many calls of a command, with or without arguments."""
        self.server.before("POST", f"{V1}{command}", action, times)

    def refuse(self, code: str, status: int | None = None) -> Reply:
        """Return how a command is refused."""
        return self._refusal(Failure(code, "The array's own words."), status or self.refuses_with)

    def _respond(self, request: Request) -> Reply:
        base = next((base for base in (V1, OLD) if request.path.startswith(base)), "")
        if not base:
            return Reply(404, "Not Found")
        if request.method != "POST":
            return Reply(405, "Method Not Allowed")
        command, *rest = request.path.removeprefix(base).split("/")
        if command == "auth":
            return self._log_in(request)
        token = request.headers.get("x-auth-token", "")
        user = self.sessions.user(token)
        if user is None:
            return Reply(self.stale, "Forbidden")
        if not self.sessions.serves(token) or not self.sessions.commands.passes():
            return TOO_MANY
        status = self.refuses_with if base == V1 else 500
        return self._execute(command, rest, request.body, user, status)

    def _log_in(self, request: Request) -> Reply:
        if not self.sessions.log_ins.passes():
            return TOO_MANY
        headers = request.headers
        token = self.sessions.log_in(headers.get("x-auth-username", ""), headers.get("x-auth-password", ""))
        return Reply(200, {"token": token}) if token else Reply(403, "Forbidden")

    def _execute(self, name: str, rest: list[str], body: Any, user: User, status: int) -> Reply:
        if name == "registerplugin":
            return Reply(200, b"")
        if body is not None and not isinstance(body, dict):
            return Reply(400, "Bad Request")
        arguments = [part for part in rest if not part.startswith("-")]
        try:
            command = self.commands.find(name)
            if command is None:
                raise Failure(NO_SUCH_COMMAND, "The command is not supported.")
            if command.changes and user.role != ADMINISTRATOR:
                raise Failure(NOT_ALLOWED, "The user's role does not have the authority to run this command.")
            result = self.commands.execute(name, command, arguments, body or {})
        except Failure as failure:
            return self._refusal(failure, status)
        return Reply(200, result)

    def _refusal(self, failure: Failure, status: int) -> Reply:
        said = f"{failure.code} {failure.text}"
        if status == 500:
            return Reply(500, f"Command error occurred; error code 1: {said}")
        return Reply(status, f"error code: 1, error text: {said}\n")
