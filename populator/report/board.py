"""The picture of all populates of a cluster, for a terminal of any size: lines of text, no wider and no more than fit.

What does not fit is left out, and a line says how much of it there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from populator.log import printable
from populator.plan.progress import HostTotal, Overview, Populate, State, Total
from populator.report.pace import duration

STYLES = {
    State.RUNNING: "cyan",
    State.WAITING: "yellow",
    State.DONE: "green",
    State.FAILED: "bold red",
    State.MAYBE_FAILED: "red",
}
STATE, PERCENT, RATE, ETA, PHASE = 7, 5, 11, 8, 20
"""widths of columns"""
LEAST_ROWS = 3
"""of either table, however small the terminal is"""
MOST_TROUBLES = 3
KIB = 1024


@dataclass(frozen=True)
class Marks:
    """What bars and cuts are made of."""

    full: str = "█"
    empty: str = "░"
    more: str = "…"


ASCII = Marks("#", "-", "~")
"""for terminals that know no others"""


class Board:
    """Draws for one size."""

    def __init__(self, width: int, height: int, marks: Marks | None = None) -> None:
        self._width, self._height = max(width, 20), max(height, 1)
        self._marks = marks or Marks()
        self._bar = 10 if width < 100 else 20
        self._place = min(max(width // 6, 10), 24)

    def draw(self, overview: Overview, troubles: Sequence[str], now: datetime) -> list[Text]:
        """Return the lines."""
        below = [self._line(self._cut(f"! {text}", self._width), "red") for text in troubles[:MOST_TROUBLES]]
        head = self._head(overview, now)
        room = self._height - len(head) - len(below)
        hosts = list(self._hosts(overview.hosts, max(room // 3, LEAST_ROWS + 1)))
        populates = list(self._populates(overview, max(room - len(hosts), LEAST_ROWS + 1)))
        return [*head, *hosts, *populates, *below][: self._height]

    def _head(self, overview: Overview, now: datetime) -> list[Text]:
        total = overview.total
        counts = ", ".join(f"{total.states[state]} {state}" for state in State if total.states.get(state))
        count = len(overview.populates)
        words = f"{count} populate{'' if count == 1 else 's'}{f': {counts}' if counts else ''}"
        clock = f"{now:%H:%M:%S} UTC"
        first = f"{self._cut(words, self._width - len(clock) - 1)} {clock}"
        bar = self._bar_of(total.percent, max(self._width - 3 - PERCENT - RATE - ETA - 2, 10))
        second = f"{bar} {total.percent:3.0f} % {rate(total.rate):>{RATE}} {eta(total):>{ETA}}"
        return [self._line(first, "bold"), self._line(second), Text()]

    def _hosts(self, hosts: Sequence[HostTotal], room: int) -> Iterator[Text]:
        """Yield the table of hosts, those first that do something, in so many lines with one that is empty."""
        if not hosts:
            return
        columns = ("SLOTS", "RUN", "WAIT", "DONE", "FAIL")
        yield self._line(self._host_row("HOST", columns, "RATE", "ETA"), "dim")
        shown = sorted(hosts, key=lambda host: host.total.states.get(State.RUNNING, 0) == 0)
        fits = room - 2 if len(shown) <= room - 2 else max(room - 3, 0)
        for host in shown[:fits]:
            states = host.total.states
            failed = states.get(State.FAILED, 0) + states.get(State.MAYBE_FAILED, 0)
            numbers = (
                host.slots,
                *(states.get(state, 0) for state in (State.RUNNING, State.WAITING, State.DONE)),
                failed,
            )
            cells = tuple(str(number) if number else "-" for number in numbers)
            rest = (rate(host.total.rate), eta(host.total))
            yield self._line(self._host_row(host.place, cells, *rest))
        if hidden := len(shown[fits:]):
            yield self._line(f"{self._marks.more} {hidden} more host{'' if hidden == 1 else 's'}", "dim")
        yield Text()

    def _host_row(self, place: str, cells: Iterable[str], speed: str, left: str) -> str:
        numbers = "".join(f"{cell:>6}" for cell in cells)
        name = self._width - 30 - RATE - ETA - 3
        return f"{self._cut(place, name)} {numbers} {speed:>{RATE}} {left:>{ETA}}"

    def _populates(self, overview: Overview, room: int) -> Iterator[Text]:
        """Yield the table of populates in so many lines."""
        populates = overview.populates
        name = self._width - STATE - self._place - self._detail - 3
        titles = f"{'STATE':{STATE}} {self._cut('VOLUME', name)} {self._cut('HOST', self._place)} "
        yield self._line(titles + "PROGRESS", "dim")
        rows, hidden = chosen(populates, room - 1 - bool(overview.older))
        for populate in rows:
            yield self._row(populate, name)
        if hidden:
            counts = ", ".join(f"{count} {state}" for state, count in hidden.items())
            yield self._line(f"{self._marks.more} {sum(hidden.values())} more: {counts}", "dim")
        if overview.older:
            yield self._line(f"{self._marks.more} {overview.older} ended more than a day ago", "dim")

    @property
    def _detail(self) -> int:
        """Columns for what a populate does: bar, percent, rate and remaining time, and in a wide terminal the phase."""
        return self._bar + 1 + PERCENT + 1 + RATE + 1 + ETA + (PHASE if self._width >= 110 else 0)

    def _row(self, populate: Populate, name: int) -> Text:
        cells = (self._cut(name_of(populate), name), self._cut(populate.place or "-", self._place))
        text = f"{populate.state:{STATE}} {' '.join(cells)} {self._fit(self._doing(populate), self._detail)}"
        line = self._line(text)
        line.stylize(STYLES[populate.state], 0, STATE)
        return line

    def _doing(self, populate: Populate) -> str:
        if populate.state in {State.FAILED, State.MAYBE_FAILED}:
            return self._cut(populate.why, self._detail)
        if populate.state == State.WAITING or populate.percent is None:
            return self._cut(populate.phase, self._detail)
        bar = f"{self._bar_of(populate.percent, self._bar)} {populate.percent:3d} %"
        if populate.state == State.DONE:
            return bar
        if populate.remaining is None:
            return f"{bar} {self._cut(populate.phase, RATE + 1 + ETA)}"
        phase = f"  {self._cut(populate.phase, PHASE - 2)}" if self._width >= 110 else ""
        return f"{bar} {rate(populate.rate):>{RATE}} {duration(populate.remaining):>{ETA}}{phase}"

    def _bar_of(self, percent: float, width: int) -> str:
        full = int(width * min(max(percent, 0.0), 100.0) / 100)
        return self._marks.full * full + self._marks.empty * (width - full)

    def _cut(self, text: str, width: int) -> str:
        """Return what was read somewhere as it can be printed, in exactly so many columns."""
        return self._fit(printable(" ".join(text.split())), width)

    def _fit(self, text: str, width: int) -> str:
        if cell_len(text) > width > 0:
            return set_cell_size(text, width - 1) + self._marks.more
        return set_cell_size(text, max(width, 0))

    def _line(self, text: str, style: str = "") -> Text:
        return Text(self._fit(text, self._width), style)


def chosen(populates: Sequence[Populate], room: int) -> tuple[list[Populate], dict[State, int]]:
    """Return those that fit into so many lines, and how many of each state do not; that takes a line.

    The failed come first, but leave two thirds to the others.
    """
    if len(populates) <= room:
        return list(populates), {}
    room = max(room - 1, 0)
    failed = [one for one in populates if one.state in {State.FAILED, State.MAYBE_FAILED}]
    others = [one for one in populates if one.state not in {State.FAILED, State.MAYBE_FAILED}]
    few = min(len(failed), max(room // 3, room - len(others)))
    shown = [*failed[:few], *others[: room - few]]
    rest = [*failed[few:], *others[room - few :]]
    return shown, {state: count for state in State if (count := sum(one.state == state for one in rest))}


def name_of(populate: Populate) -> str:
    """Return namespace and name of the PVC, as people name it."""
    return "/".join(filter(None, (populate.namespace, populate.name)))


def rate(value: float | None) -> str:
    """Return a rate given in MiB per second; empty where there is none."""
    if not value:
        return ""
    return f"{value:.0f} MiB/s" if value < KIB else f"{value / KIB:.1f} GiB/s"


def eta(total: Total) -> str:
    """Return how long many populates still take; empty while that cannot be said."""
    if total.remaining is None:
        return ""
    return f"{'>' if total.at_least else ''}{duration(total.remaining)}"
