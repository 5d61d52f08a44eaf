"""Known mistakes of leases, each planted into a copy of the package under another name.

The package itself is not touched: its source is read, one place is changed, and the result is compiled beside it. A
place that is not found any more is an error, so the mutants keep up with the source.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.lab.lease.actors import modules

SOURCE = Path(__file__).resolve().parents[3] / "lease"
NAME = "mutant_lease"


@dataclass(frozen=True)
class Mutant:
    """One mistake, where it is planted, and which invariant has to catch it."""

    name: str
    mistake: str
    caught_by: str
    module: str
    changes: tuple[tuple[str, str], ...]


MUTANTS = (
    Mutant(
        "trusts renewTime", "a record is dead when the wall clock is past renewTime + duration", "I4", "slots",
        ((
            "return decide(self.seen[name], self.me, self._clock.now(), others_used=used)",
            ("from datetime import datetime as d; s = self.seen[name]; r = s.record\n"
            "        w = decide(s, self.me, self._clock.now(), others_used=used)\n"
            "        if not isinstance(w, Wait) or not r or not r.renewed or r.renewed == 'soon': return w\n"
            "        past = (self._clock.utc() - d.fromisoformat(r.renewed)).total_seconds()\n"
            "        return Take(dead=True) if past > (r.duration or 1) else w"),
        ),),
    ),
    Mutant(
        "our duration", "the holder is given our duration instead of its own", "I4", "decision",
        (("min(max(record.duration or own, least), LONGEST)", "own"),),
    ),
    Mutant(
        "null is dead", "a record without a duration is free at once", "I10", "decision",
        (("max(record.duration or own, least)", "max(record.duration or 0, least if record.duration else 0)"),),
    ),
    Mutant(
        "released short", "a release leaves a duration of 1 s, which the Go populator does not change", "I10", "record",
        ((
            '"leaseDurationSeconds": duration, "renewTime": renewed}',
            '"leaseDurationSeconds": 1, "renewTime": micro_time(now)}',
        ),),
    ),
    Mutant(
        "another's duration", "a Go populator is held to the duration that it found in the slot", "I10", "decision",
        (("least = 0 if record.author == record.holder else STRANGERS_PROMISE", "least = 0"),),
    ),
    Mutant(
        "deleted is free", "a slot is free as soon as its Lease has been deleted", "I4", "decision",
        (
            ("return Sighting(record, now, before.record, now)", "return Sighting(record, now)"),
            ("return Sighting(None, now, last, ", "return Sighting(None, now) or (last, "),
        ),
    ),
    Mutant(
        "missing is free", "a newcomer makes a missing slot without giving its holder time to do so", "I4", "decision",
        (("elif last is None and others_used:", "elif False:"),),
    ),
    Mutant(
        "made is free", "a slot that was deleted is free as soon as somebody has made it in advance", "I4", "decision",
        (("return self.record if self.record and self.record.used else", "return self.record or"),),
    ),
    Mutant(
        "counted from the reply", "validity is counted from the reply, not from the request", "I2", "renewal",
        (("self._valid_until = claimed.sent +", "self._valid_until = self._clock.now() +"),),
    ),
    Mutant(
        "certain to the end", "the holder renews at 0.9 of its duration and is certain until its end", "I2", "decision",
        (("return self.duration / 3", "return self.duration * 0.9"), ("self.duration * 2 / 3", "self.duration")),
    ),
    Mutant(
        "newest version", "a write names the newest version instead of the one that was judged", "I4", "slots",
        ((
            'stored = self._api.replace(f"{self._path}/{name}", lease, timeout=timeout)',
            ('new = self._api.get(f"{self._path}/{name}", timeout=timeout)["metadata"]["resourceVersion"]\n'
            '                lease["metadata"]["resourceVersion"] = new\n'
            '                stored = self._api.replace(f"{self._path}/{name}", lease, timeout=timeout)'),
        ),),
    ),
    Mutant(
        "never released", "at the end the holder just stops to renew", "I8", "slots",
        (("return self._store(name, record, freed)", "return True"),),
    ),
    Mutant(
        "claim forgotten", "after a claim that was not answered another slot is reached for", "I8", "waiting",
        (("[self._unanswered[0]] if self._unanswered else self._slots.names", "self._slots.names"),),
    ),
    Mutant(
        "transitions forgotten", "a change of holder is not counted", "I7", "record",
        (("min(record.transitions + 1, _INT32)", "record.transitions"),),
    ),
    Mutant(
        "unguarded", "a step begins without asking whether the slot is still ours", "I2", "hostlock",
        (("if not self.valid:\n            raise LeaseLost(", "if not self.slot:\n            raise LeaseLost("),),
    ),
    Mutant(
        "impatient", "a waiter looks again each 50 ms", "I9", "waiting",
        (("quiet = self._slots.me.duration / 2 * ", "quiet = 0.05 * "),),
    ),
    Mutant(
        "too patient", "a dead slot is waited for twice as long as promised", "I6", "decision",
        (("until = since + promise(last, me.duration)", "until = since + 2 * promise(last, me.duration)"),),
    ),
    Mutant(
        "deaf", "a release is not heard of, and looked for each minute only", "I6", "waiting",
        (
            ("if news := self._slots.news_of(event):", "if False:"),
            ("quiet = self._slots.me.duration / 2 * ", "quiet = 60.0 * "),
        ),
    ),
    Mutant(
        "released is not free", "a slot that was released is waited for like one that expires", "I5", "decision",
        ((
            "    until = -math.inf\n",
            ("    until = -math.inf\n"
            "    if last and not last.holder and now < sighting.since + me.duration:\n"
            "        return Wait(sighting.since + me.duration)\n"),
        ),),
    ),
    Mutant(
        "late news", "what the watch told counts from when it is taken in, not from when it came", "I6", "slots",
        (("self._see(name, news.record, news.at)", "self._see(name, news.record, self._clock.now())"),),
    ),
    Mutant(
        "left over the next", "the last word about a copy left is written over the next holder", "I4", "renewal",
        ((
            " or isinstance(self._slots.decision(self.slot), Wait):\n            return True",
            ":\n            return True",
        ),),
    ),
)  # fmt: skip


@contextmanager
def mutated(mutant: Mutant) -> Iterator[Any]:
    """Give the package with that mistake in it."""
    try:
        yield modules(lambda module: _module(mutant, module))
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]


def _module(mutant: Mutant, module: str) -> ModuleType:
    """Compile a module of the package, and before it those that it imports."""
    name = f"{NAME}.{module}"
    if name in sys.modules:
        return sys.modules[name]
    file = SOURCE / f"{module.replace('.', '/')}.py"
    source = file.read_text()
    for other in sorted(
        ".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in SOURCE.rglob("[a-z]*.py")
    ):
        if f"from lease.{other} import" in source:
            _module(mutant, other)
    if module == mutant.module:
        for place, mistake in mutant.changes:
            assert source.count(place) == 1, (
                f"{mutant.name}: {place!r} stands {source.count(place)} times in {module}"
            )
            source = source.replace(place, mistake)
    made = ModuleType(name)
    made.__file__ = str(file)
    sys.modules[name] = made
    for package in (NAME, name.rpartition(".")[0]):
        sys.modules.setdefault(package, ModuleType(package))
    code = compile(source.replace("from lease.", f"from {NAME}."), f"<{mutant.name}: {module}>", "exec")
    exec(code, made.__dict__)  # noqa: S102 - our own source
    return made
