"""A forecast as a picture: one SVG that needs nothing else, a row for each host, a bar for each disk. Pure.

Bars that would be too narrow to be seen are drawn as one, so that the picture of thousands of disks stays small and
readable. A bar's title, which a browser shows under the pointer, says which disk it is and when it is what.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from populator.log import printable
from populator.plan.forecast import Forecast, Passage
from populator.report.pace import roughly

WIDTH, LEFT, RIGHT, BOTTOM = 1400, 190, 90, 34
CHART = WIDTH - LEFT - RIGHT
HEAD, NOTE = 112, 18
"""height of the title with the legend, and of each line of notes"""
TALL = 1500
"""what the lanes should take together"""
LANE = (3.0, 20.0)
"""height of a lane at least, and at most"""
ROW = 17.0
"""height of a host's row at least: its name needs that"""
GAP = 4.0
"""between two rows"""
NARROWEST = 1.5
"""width of a bar that can be seen"""
LABELLED, READABLE = 13.0, 8
"""height of a lane whose bars have names in them, and characters of a name that tell something"""
LETTER = 6.3
"""width of a character in a bar, about"""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""seconds between two lines of the scale; above, whole days"""
STYLE = """
svg{--back:#fff;--text:#1c2733;--soft:#5b6b7b;--line:#dfe5eb;--row:#f5f7f9;--around:#b9cbe2;--copy:#3b74b9;
--hot-around:#f3cf9d;--hot:#c96f12;--label:#fff;background:var(--back);font:12px system-ui,"Segoe UI",sans-serif}
@media(prefers-color-scheme:dark){svg{--back:#12181f;--text:#e6ebf0;--soft:#9aa8b6;--line:#2b3540;--row:#19212a;
--around:#35506f;--copy:#6aa3e6;--hot-around:#6b4a1f;--hot:#f0a145;--label:#0d1217}}
text{fill:var(--text)}.big{font-size:20px;font-weight:600}.soft{fill:var(--soft)}.end{text-anchor:end}
.middle{text-anchor:middle}.small{font-size:10.5px;fill:var(--label);pointer-events:none}
.line{stroke:var(--line)}.row{fill:var(--row)}.around{fill:var(--around)}.copy{fill:var(--copy)}
.hot .around,.hot.around{fill:var(--hot-around)}.hot .copy,.hot.copy{fill:var(--hot)}
.last{stroke:var(--text);stroke-dasharray:4 3}g:hover>rect{opacity:.8}
"""


@dataclass
class Lane:
    """Bars that follow each other."""

    free: float = 0.0
    """from when on"""
    passages: list[Passage] = field(default_factory=list)


def draw(forecast: Forecast, title: str, notes: Sequence[str], hot: str) -> str:
    """Return the picture; `hot` is the name of the host or disk that holds all up, which stands out."""
    return "\n".join(Picture(forecast, hot).parts(title, notes)) + "\n"


class Picture:
    """What is drawn, and where."""

    def __init__(self, forecast: Forecast, hot: str) -> None:
        self._hot = hot
        self._span = max(forecast.makespan, 1.0)
        self._hosts = [(host, lanes_of(passages)) for host, passages in forecast.by_host.items()]
        number = sum(len(lanes) for _, lanes in self._hosts)
        self._lane = min(max(TALL / max(number, 1), LANE[0]), LANE[1])

    def parts(self, title: str, notes: Sequence[str]) -> Iterator[str]:
        """Yield the picture piece by piece."""
        top: float = HEAD + NOTE * len(notes)
        heights = [max(len(lanes) * self._lane, ROW) for _, lanes in self._hosts]
        bottom = top + sum(heights) + GAP * len(heights)
        size = f'width="{WIDTH}" height="{bottom + BOTTOM:.0f}" viewBox="0 0 {WIDTH} {bottom + BOTTOM:.0f}"'
        yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{STYLE}</style>'
        yield f"<title>{text(title)}</title>"
        yield f'<text x="20" y="36" class="big">{text(title)}</text>'
        for number, note in enumerate(notes):
            yield f'<text x="20" y="{60 + NOTE * number}" class="soft">{text(short(note, 200))}</text>'
        yield from self._legend(top - 40)
        yield from self._scale(top, bottom)
        x = self._x(self._span)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8:.1f}" y2="{bottom:.1f}" class="last"/>'
        for (host, lanes), height in zip(self._hosts, heights, strict=True):
            yield from self._row(host, lanes, top, height)
            top += height + GAP
        yield "</svg>"

    def _x(self, moment: float) -> float:
        return LEFT + moment / self._span * CHART

    def _legend(self, y: float) -> Iterator[str]:
        entries = [("copy", "copy"), ("around", "rescan, detach and the like")]
        if self._hot:
            entries.append(("copy hot", "what holds it up"))
        x = float(LEFT)
        for kind, words in entries:
            yield f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="14" height="10" rx="2" class="{kind}"/>'
            yield f'<text x="{x + 20:.0f}" y="{y:.0f}" class="soft">{words}</text>'
            x += 44 + LETTER * len(words)

    def _scale(self, top: float, bottom: float) -> Iterator[str]:
        """Yield the lines of the time scale."""
        step = next(
            (step for step in STEPS if self._span / step <= 12), math.ceil(self._span / 12 / 86400) * 86400
        )
        for number in range(int(self._span / step) + 1):
            x = self._x(number * step)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8:.0f}" y2="{bottom:.1f}" class="line"/>'
            yield f'<text x="{x:.1f}" y="{top - 14:.0f}" class="soft middle">{tick(number * step, step)}</text>'

    def _row(self, host: str, lanes: Sequence[Lane], top: float, height: float) -> Iterator[str]:
        """Yield a host's row."""
        middle = top + height / 2 + 4
        above = top + (height - len(lanes) * self._lane) / 2
        end = max(lane.free for lane in lanes)
        disks = sum(len(lane.passages) for lane in lanes)
        yield '<g class="hot">' if host == self._hot else "<g>"
        yield f'<rect x="{LEFT}" y="{top:.1f}" width="{CHART}" height="{height:.1f}" class="row"/>'
        yield f'<text x="{LEFT - 10}" y="{middle:.1f}" class="end">{text(short(host, 24))}<title>'
        yield f"{text(host)}: {disks} disks</title></text>"
        yield f'<text x="{WIDTH - RIGHT + 8}" y="{middle:.1f}" class="soft">{roughly(end)}</text>'
        for number, lane in enumerate(lanes):
            yield from self._bars(lane.passages, above + number * self._lane)
        yield "</g>"

    def _bars(self, passages: Sequence[Passage], y: float) -> Iterator[str]:
        """Yield a lane's bars, those that are too narrow together as one."""
        group: list[Passage] = []
        for passage in passages:
            if group and self._x(passage.left) - self._x(group[0].shaken) > 2 * NARROWEST:
                yield self._bar(group, y)
                group = []
            group.append(passage)
        if group:
            yield self._bar(group, y)

    def _bar(self, group: Sequence[Passage], y: float) -> str:
        """Return one bar: what goes before and after the copy light, the copy over it dark."""
        first, last = group[0], group[-1]
        gap = 1.0 if self._lane > 5 else 0.5
        left, right = self._x(first.shaken), self._x(last.left)
        begin, end = self._x(first.began), self._x(last.ended)
        hot = ' class="hot"' if any(passage.disk.name == self._hot for passage in group) else ""
        height = self._lane - gap
        shape = f'y="{y:.1f}" height="{height:.1f}"'
        parts = [
            f"<g{hot}><title>{text(about(group))}</title>",
            f'<rect x="{left:.1f}" width="{max(right - left - gap, 0.4):.1f}" {shape} class="around"/>',
            f'<rect x="{begin:.1f}" width="{max(end - begin - gap / 2, 0.4):.1f}" {shape} class="copy"/>',
        ]
        name, room = file_of(first.disk.name), int((end - begin - 8) / LETTER)
        if self._lane >= LABELLED and room >= min(len(name), READABLE) and len(group) == 1:
            place = f'x="{begin + 4:.1f}" y="{y + height / 2 + 4:.1f}"'
            parts.append(f'<text {place} class="small">{text(short(name, room))}</text>')
        return "".join([*parts, "</g>"])


def lanes_of(passages: Sequence[Passage]) -> list[Lane]:
    """Put a host's disks, which come in order of time, into as few lanes as hold them."""
    lanes: list[Lane] = []
    for passage in passages:
        lane = next((lane for lane in lanes if lane.free <= passage.shaken), None)
        if lane is None:
            lane = Lane()
            lanes.append(lane)
        lane.passages.append(passage)
        lane.free = passage.left
    return lanes


def about(group: Sequence[Passage]) -> str:
    """Return what a bar's title says."""
    first, last = group[0], group[-1]
    if len(group) > 1:
        return f"{len(group)} disks on {first.host}, from {roughly(first.shaken)} to {roughly(last.left)}"
    spans = f"copy from {roughly(first.began)} to {roughly(first.ended)}, done at {roughly(first.left)}"
    return f"{first.disk.name}, {first.disk.size / 2**30:,.1f} GiB, on {first.host}: {spans}"


def tick(moment: int, step: int) -> str:
    """Return the words beside a line of the scale."""
    unit, name = next(
        (unit, name) for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if step % unit == 0
    )
    return f"{moment // unit} {name}" if moment else "0"


def file_of(name: str) -> str:
    """Return what of a disk's path tells most."""
    return re.sub(r"\.vmdk$", "", name.rpartition("/")[2])


def short(name: str, most: int) -> str:
    """Return as much of a name as fits."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def text(words: str) -> str:
    """Return words as they can stand in the picture."""
    return escape(printable(words))
