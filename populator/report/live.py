"""A terminal on which a picture is drawn again and again, on its other screen: what stood there before is restored."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from populator.report.board import ASCII, Marks


class Screen:
    """Draws while it is entered; its size is asked for anew each time."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @property
    def usable(self) -> bool:
        """Whether there is a terminal, and one that can place the cursor."""
        return sys.stdout.isatty() and not self._console.is_dumb_terminal

    @property
    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        return self._console.size.width, self._console.size.height

    @property
    def marks(self) -> Marks:
        """Return what bars can be made of."""
        return Marks() if self._console.encoding.startswith("utf") else ASCII

    def show(self, lines: Sequence[Text]) -> None:
        """Draw these lines in place of those before."""
        self._live.update(Group(*lines), refresh=True)
