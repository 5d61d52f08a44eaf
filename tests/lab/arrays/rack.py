"""The simulated arrays of one test, each with a SAN of its own; all end with it."""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Concatenate, ParamSpec, Self

from tests.lab.arrays import AnyLab
from tests.lab.pki import Pki
from tests.lab.san import San

P = ParamSpec("P")


class Rack:
    """See the module; `folder` is for the bytes of all LUNs."""

    def __init__(self, pki: Pki, folder: Path) -> None:
        self._pki, self._folder = pki, folder
        self._number = itertools.count(1)
        self._running = ExitStack()

    def add(
        self, lab: Callable[Concatenate[Pki, San, P], AnyLab], *further: P.args, **named: P.kwargs
    ) -> AnyLab:
        """Start an array; further arguments are those of its lab."""
        san = San(self._folder / f"san-{next(self._number)}")
        return self._running.push(lab(self._pki, san, *further, **named))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()
