"""Names resolved in a way that can be left: nothing breaks off the C library's resolver while a DNS server is silent.

`install` puts this in the place of `socket.getaddrinfo`, which all of our libraries call for each new connection. So
one place serves every door and every proxy, a name that has moved is found again, and TLS goes on checking names: no
library learns that it was not asked directly. The look-up is left to a thread that nobody waits for at the end.
"""

import socket
import threading
from typing import Any

WITHIN = 20.0
"""seconds for one look-up: a resolver that asks twice, for each of a pod's search domains, may take minutes"""
resolve = socket.getaddrinfo


class Lookup(threading.Thread):
    """One question to the C library's resolver."""

    def __init__(self, question: tuple[Any, ...], options: dict[str, Any]) -> None:
        super().__init__(name="resolver", daemon=True)
        self._question, self._options = question, options
        self._ended = threading.Event()
        self._answer: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Ask, however long it takes."""
        try:
            self._answer = resolve(*self._question, **self._options)
        except BaseException as error:  # noqa: BLE001 - raised by `answer`, in the thread that asked
            self._error = error
        self._ended.set()

    def answer(self) -> Any:
        """Wait for the answer; a signal handler may raise in here."""
        if not self._ended.wait(WITHIN):
            raise socket.gaierror(socket.EAI_AGAIN, "The DNS server did not answer in time")
        if self._error:
            raise self._error
        return self._answer


def look_up(*question: Any, **options: Any) -> Any:
    """Do what `socket.getaddrinfo` does; in the main thread, whose calls may have to be broken off, by a thread."""
    if threading.current_thread() is not threading.main_thread():
        return resolve(*question, **options)
    lookup = Lookup(question, options)
    lookup.start()
    return lookup.answer()


def install() -> None:
    """Have all of this process's connections look up names this way."""
    socket.getaddrinfo = look_up
