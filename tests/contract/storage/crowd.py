"""Many populators at the same time."""

import threading
from collections.abc import Callable, Sequence

from populator.storage.array import Volume


def at_once(populate: Callable[[Volume], None], volumes: Sequence[Volume]) -> None:
    """Populate all volumes at the same time, each in a thread, and expect that all come to an end and none fails."""
    failures: list[BaseException] = []

    def guarded(volume: Volume) -> None:
        try:
            populate(volume)
        except BaseException as error:  # noqa: BLE001 - handed over to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(volume,)) for volume in volumes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == [], failures
    assert not any(thread.is_alive() for thread in threads), "some never end"
