"""How fast a copy is and how long it will take, from its percent; pure."""

from dataclasses import dataclass

from populator.plan.journal import MIB


@dataclass(frozen=True)
class Pace:
    """A copy of so many bytes that is at so many percent after so many seconds."""

    size: int
    percent: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes per second so far."""
        return self.size * self.percent / 100 / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at that rate; None while nothing is copied."""
        return self.seconds * (100 - self.percent) / self.percent if self.percent else None

    def __str__(self) -> str:
        """Return a line for the log."""
        if self.remaining is None:
            return f"{self.percent} %"
        return f"{self.percent} %, {self.rate / MIB:.0f} MiB/s, {duration(self.remaining)} left"


def duration(seconds: float) -> str:
    """Return a span as people write it: 42s, 5m03s, 2h07m."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def roughly(seconds: float) -> str:
    """Return a span as plans need it: 35 s, 42 min, 9.7 h, 6.1 d."""
    for below, unit, name in ((90, 1, "s"), (90 * 60, 60, "min"), (100 * 3600, 3600, "h")):
        if seconds < below:
            digits = 0 if unit < 3600 else 1
            return f"{seconds / unit:.{digits}f} {name}"
    return f"{seconds / 86400:.1f} d"
