"""A few threads that look at many things, each with looks and a clock of its own.

Promises that never more are looked at at once than asked for, that what nobody foresaw at one of them is that one's
line and leaves the others alone, and that all sessions are ended.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from populator.clock import Clock
from populator.errors import Cancelled
from populator.preflight.line import Line, line_of
from populator.stories.looks import Looks, LooksParts

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew:
    """See the module; made by `crew_of`."""

    def __init__(self, parts: LooksParts, pool: ThreadPoolExecutor, built: ExitStack) -> None:
        self._parts, self._pool, self._built = parts, pool, built
        self._own = threading.local()
        self._clocks: list[Clock] = []
        self._building = threading.Lock()

    def each(
        self, items: Sequence[Item], look: Callable[[Item, Looks, Clock], Result]
    ) -> list[Result | Line]:
        """Look at each, and return what came of it, in their order."""
        futures = [self._pool.submit(self._look, item, look) for item in items]
        ended: list[Result | Line] = []
        for future in futures:
            outcome = result_of(future)
            ended.append(outcome)
        return ended

    def stop(self) -> None:
        """Have every look that has not begun end at once, and those under way as soon as they can."""
        for clock in self._clocks:
            with suppress(
                Cancelled
            ):  # it is meant for the clock's own thread, which hears of it by its next look
                clock.stop()

    def _look(self, item: Item, look: Callable[[Item, Looks, Clock], Result]) -> Result:
        if not hasattr(self._own, "looks"):
            self._own.clock = clock = Clock()
            self._clocks.append(clock)
            with self._building:
                self._own.looks = self._built.enter_context(self._parts.looks(clock))
        return look(item, self._own.looks, self._own.clock)


@contextmanager
def crew_of(parts: LooksParts) -> Iterator[Crew]:
    """Give a crew; at the end of the block those that have not begun are not begun, and all looks are closed."""
    with ExitStack() as built:
        pool = ThreadPoolExecutor(parts.settings.parallel, "look")
        crew = Crew(parts, pool, built)
        try:
            yield crew
        except BaseException:
            crew.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def result_of(look: Future[Result]) -> Result | Line:
    """Return what came of a look, also where it ended by what nobody foresaw."""
    error = look.exception()
    if error is None:
        return look.result()
    if not isinstance(error, Exception):
        raise error
    return line_of(error, "look")
