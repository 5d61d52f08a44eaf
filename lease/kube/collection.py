"""A collection of objects that is followed: one list, then a watch that is started again whenever it ends or breaks.

A thread reads; what it has read lies in a queue. Where nobody may watch, the list is read again and again.
"""

import logging
import random
import threading
from queue import SimpleQueue

from lease.decision import backoff
from lease.kube.api import Api, ApiError, Json

SILENCE = 75.0
"""seconds without a word after which a watch is started again; a server sends bookmarks about each minute"""
LASTS = 300
"""seconds after which the server ends a watch"""
LASTS_PATIENTLY = 10
"""the same where it must soon be known that the server is away"""
POLL_EVERY = 5.0
"""seconds between two lists where nobody may watch"""
ASK_AGAIN = 30.0
"""seconds after which what cannot be read is tried again: a right may have been granted"""
TOO_OLD = 410
TELL_AT = 3
"""failures in a row after which it is said that the API server does not answer; a watch that breaks off is usual"""

News = list[Json] | Json | ApiError | None
"""all objects there are, an event of a watch, why they cannot be read, or that the server was there and had no news"""

log = logging.getLogger(__name__)


class Collection(threading.Thread):
    """Lists, watches, and goes on.

    Unless it is `patient`, a failure that cannot pass is the last piece of news, and all others are passed over in
    silence. A patient one never ends: it reports each failure to list, and goes on where others would end.
    """

    def __init__(self, api: Api, path: str, *, patient: bool = False, **params: str) -> None:
        """`params` go with list and watch, such as a labelSelector."""
        super().__init__(name=f"watch {path}", daemon=True)
        self.news: SimpleQueue[News] = SimpleQueue()
        self._api = api
        self._path = path
        self._patient = patient
        self._params = params
        self._version = ""
        self._failures = 0

    def run(self) -> None:
        """Read until that is of no use."""
        pause = threading.Event()
        while True:
            wait = None
            try:
                if not self._version:
                    self._list()
                self._watch()
            except ApiError as error:
                listing = not self._version
                if error.final and not self._patient:
                    self.news.put(error)
                    return
                if listing and self._patient:
                    self.news.put(error)
                if error.status == TOO_OLD or self._patient:
                    self._version = ""
                wait = error.retry_after
                if error.final:
                    wait = ASK_AGAIN if listing else POLL_EVERY
                level = logging.WARNING if self._failures == TELL_AT and not self._patient else logging.DEBUG
                log.log(level, "%s", error.text)
            self._failures += 1
            pause.wait(backoff(self._failures, wait, random.random()))  # noqa: S311

    def _list(self) -> None:
        answer = self._api.get(self._path, None, **self._params)
        self.news.put(list(answer.get("items") or []))
        self._version = str(answer.get("metadata", {}).get("resourceVersion", ""))

    def _watch(self) -> None:
        lasts, silence = (LASTS_PATIENTLY, LASTS_PATIENTLY * 1.5) if self._patient else (LASTS, SILENCE)
        more = {"allowWatchBookmarks": "true", "timeoutSeconds": str(lasts), "resourceVersion": self._version}
        with self._api.watch(self._path, silence, **self._params, **more) as events:
            for event in events:
                self._failures = 0
                self._version = version_of(event) or self._version
                self.news.put(None if event.get("type") == "BOOKMARK" else event)
        if self._patient:
            self._failures = 0
        self.news.put(None)


def version_of(event: Json) -> str:
    """Return the resourceVersion of the object that an event is about; empty where it has none."""
    held = event.get("object")
    metadata = held.get("metadata") if isinstance(held, dict) else None
    return str(metadata.get("resourceVersion") or "") if isinstance(metadata, dict) else ""
