"""Calls to Unisphere for one PowerMax: what an error means, which has hardly any status, and seeing changes done.

Unisphere may answer with a job even where it is asked to answer when all is done. Jobs are waited for here, as is the
end of somebody else's change: the array makes one change of its masking at a time, and refuses others meanwhile.
"""

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

from populator import retry
from populator.clock import Clock
from populator.storage.access import Access
from populator.storage.answer import Answer
from populator.storage.failures import Refused, Unanswered
from populator.storage.http import Http
from populator.storage.repeat import Repeat
from populator.storage.vendors.powermax.session import Session

BASE = "/univmax/restapi"
BUSY = re.compile(r"in progress|service unavailable|is locked|lock is held", re.IGNORECASE)
"""what HTTP 500 says while the array does something else; nothing was changed"""
LASTING = re.compile(
    r"cannot be found|could not find|not found|does not exist|already|not (in|a member of)|(last|only) volume"
    r"|invalid|pattern|protocol|not supported|not allowed|exceed|maximum",
    re.IGNORECASE,
)
"""what it says of a call that will fail again: Unisphere has hardly any other status"""
MISSING = re.compile(r"cannot be found|could not find|not found|does not exist", re.IGNORECASE)
UNTIL_FREE = retry.Policy("busy array", deadline=120, first_pause=1, longest_pause=8)
JOB_SECONDS = 120.0
RUNNING = {"created", "unscheduled", "scheduled", "running", "validating", "validated"}
PAUSES = (0.2, 0.5, 1.0, 2.0)
"""seconds between two looks at a job; the last one again and again"""


class Unisphere:
    """The calls, by paths below the array's."""

    def __init__(self, access: Access, clock: Clock, array: str) -> None:
        self._session = Session(access)
        self._http = Http(access, clock, "PowerMax", explain, self._session)
        self._clock = clock
        self._repeat = Repeat(clock)
        self.array = array
        self.name = f"{self._http.name} ({array})"

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def find(self, path: str, act: str, query: Mapping[str, str] | None = None) -> Answer | None:
        """Return what is there under a path; None where nothing is."""
        try:
            return self.get("sloprovisioning", f"/{path}", act, query)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def get(self, category: str, path: str, act: str, query: Mapping[str, str] | None = None) -> Answer:
        """Return what is there under a path."""
        return self._call("GET", self._path(category, path), act, query)

    def _path(self, category: str, path: str) -> str:
        self._http.let_in()
        return f"{BASE}/{self._session.api}/{category}/symmetrix/{self.array}{path}"

    def _call(
        self, method: str, path: str, act: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Make a call; refused for what lasts, it is no passing failure, whatever the status."""
        try:
            return self._http.call(method, path, act, query, body)
        except Refused as error:
            if error.status == HTTPStatus.INTERNAL_SERVER_ERROR and is_lasting(error.text):
                error.passing = False
            raise

    def write(self, method: str, path: str, act: str, body: object = None) -> None:
        """Make a change and see it done; one for which the array is too busy for two minutes has failed."""
        try:
            UNTIL_FREE.run(partial(self._write_once, method, path, act, body), is_busy, self._clock)
        except Refused as error:
            error.passing = error.passing and not is_busy(error)
            raise

    def _write_once(self, method: str, path: str, act: str, body: object) -> None:
        """Make a change; told to stop, see it done first, as a job goes on by itself."""
        with self._clock.finishing():
            answer = self._call(method, self._path("sloprovisioning", f"/{path}"), act, body=body)
            if job := answer.optional("jobId"):
                self._wait_for(job, answer, act)

    def _wait_for(self, job: str, answer: Answer, act: str) -> None:
        """Wait for the end of a job; raise where it failed."""
        began, pauses = self._clock.now(), iter(PAUSES)
        while (status := answer.text("status").lower()) in RUNNING:
            if self._clock.expired() or self._clock.now() - began > JOB_SECONDS:
                raise Unanswered(
                    f"{self.name} was asked to {act}, and its job {job} is not done after "
                    f"{self._clock.now() - began:.0f} s.",
                    "Look at the job in Unisphere, and at the array's load.",
                    passing=False,
                )
            self._clock.wait(next(pauses, PAUSES[-1]))
            report = partial(self.get, "system", f"/job/{job}", f"report on the job {job}")
            answer = self._repeat.read(report)
        if status != "succeeded":
            why = answer.optional("result").rstrip(".") or "no reason given"
            text = f"{self.name} failed to {act}: {why} (job {job}, {status})."
            refusal = Refused(text, "", HTTPStatus.INTERNAL_SERVER_ERROR, "")
            refusal.passing = not is_lasting(text)
            raise refusal


def explain(body: Answer) -> tuple[str, str]:
    """Return what an error says; there are no codes."""
    return "", body.optional("message")


def is_busy(error: BaseException) -> bool:
    """Return whether the array refused a change because it makes another one."""
    return (
        isinstance(error, Refused) and error.status == HTTPStatus.INTERNAL_SERVER_ERROR and _busy(error.text)
    )


def is_lasting(text: str) -> bool:
    """Return whether an error says what time does not heal."""
    return not _busy(text) and LASTING.search(text) is not None


def is_missing(error: Refused) -> bool:
    """Return whether there is nothing to change, as a status says it or, of a job, words alone."""
    return error.status == HTTPStatus.NOT_FOUND or (
        error.status == HTTPStatus.INTERNAL_SERVER_ERROR and MISSING.search(error.text) is not None
    )


def _busy(text: str) -> bool:
    return BUSY.search(text) is not None
