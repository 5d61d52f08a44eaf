"""A slot of the host lease for tests of the vSphere side alone: always ours, and it remembers what it was told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Slot:
    """Satisfies `vsphere.ports.Held`; `steps` are those that asked for the slot."""

    steps: list[str] = field(default_factory=list)
    journal: dict[str, str] = field(default_factory=dict)
    left: str = ""

    now: str = ""

    def guard(self, step: str) -> None:
        if step != self.now:  # else it is the same step, asked about in the moment of its request
            self.steps.append(step)

    @contextmanager
    def step(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:
        self.steps.append(name)
        self.now = name
        yield True
        self.now = ""

    @contextmanager
    def teardown(self, name: str, unless: Callable[[], bool] | None = None) -> Iterator[bool]:
        self.steps.append(name)
        yield True

    def note(self, **facts: str) -> None:
        self.journal.update(facts)

    def leave(self, text: str) -> None:
        self.left = text
