"""A forecast as people read it, and as an item for their scripts; pure.

The item has: kind (`Forecast`), disks and bytes (how much there is), makespanSeconds, bottleneck (limit, subject: host
or disk, seconds: what it alone would cost, text), advice (each: text, makespanSeconds), hosts (each: host, disks,
bytes, doneSeconds), assumptions, passages (of each disk: disk, datastore, bytes, host, and the seconds at which its pod
is made, its copy begins, it ends, and all is put back), and leftOut (each: vm, disk, reason). What is no limit is null.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from populator.plan.forecast import MIB, Conditions, Forecast, Passage
from populator.plan.forecast_bounds import Bound, Limit
from populator.report.pace import roughly
from populator.stories.forecast import Outlook

TITLES = ("HOST", "DISKS", "SIZE", "DONE AFTER", "COPYING", "AT ONCE")


def headline(forecast: Forecast) -> str:
    """Return what it comes to, in a line."""
    disks, hosts = len(forecast.passages), len(forecast.by_host)
    total = in_units(sum(passage.disk.size for passage in forecast.passages))
    return f"{counted(disks, 'disk')}, {total}, by {counted(hosts, 'host')}: done after {roughly(forecast.makespan)}"


def held_up(bound: Bound, conditions: Conditions) -> str:
    """Return what holds a plan up, in a line."""
    rates, slots = conditions.rates, counted(conditions.slots, "slot")
    where = {
        Limit.SLOTS: f"the {slots} of {bound.subject}" if bound.subject else f"the {slots} of each host",
        Limit.HOST_RATE: f"the rate of {bound.subject or 'the hosts'}, {rates.host:,.0f} MiB/s",
        Limit.IN_FLIGHT: f"the in-flight limit, {conditions.in_flight} pods for the disks of {bound.subject}",
        Limit.ARRAY_RATE: f"the array's rate, {rates.array:,.0f} MiB/s",
        Limit.DISK: f"one big disk, {bound.subject}",
    }[bound.limit]
    return f"{where}: {roughly(bound.seconds)} by itself"


def lines(outlook: Outlook) -> Iterator[str]:
    """Yield what stands above the table."""
    forecast = outlook.forecast
    yield headline(forecast)
    yield f"bottleneck: {held_up(outlook.bottleneck, forecast.plan.conditions)}"
    for advice in outlook.advice:
        yield f"would help: {advice.text}: {roughly(advice.makespan)} instead of {roughly(forecast.makespan)}"
    for disk in outlook.left_out:
        yield f"left out: {disk.path} of {disk.vm}: {disk.problem}"
    yield f"assumed: {assumed(forecast.plan.conditions)}"


def assumed(conditions: Conditions) -> str:
    """Return what the forecast stands on."""
    rates = conditions.rates
    limits = [f"{rates.copy:,.0f} MiB/s a copy"]
    limits += [f"{rates.host:,.0f} a host"] if rates.host < math.inf else []
    limits += [f"{rates.array:,.0f} the array", f"a rescan takes {roughly(conditions.steps.rescan)}"]
    whose = "the VM's host copies" if conditions.choice == "vm" else "any host copies"
    return ", ".join([*limits, f"scope {conditions.scope}", whose])


def rows(forecast: Forecast) -> Iterator[Sequence[str]]:
    """Yield a row for each host."""
    for host, passages in forecast.by_host.items():
        yield (
            host,
            f"{len(passages):,}",
            in_units(sum(passage.disk.size for passage in passages)),
            roughly(max(passage.left for passage in passages)),
            roughly(copying(passages)),
            str(most_at_once(passages)),
        )


def item(outlook: Outlook) -> dict[str, Any]:
    """Return it as an item; see the module."""
    forecast, bound = outlook.forecast, outlook.bottleneck
    conditions = forecast.plan.conditions
    return {
        "kind": "Forecast",
        "disks": len(forecast.passages),
        "bytes": sum(passage.disk.size for passage in forecast.passages),
        "makespanSeconds": seconds(forecast.makespan),
        "bottleneck": {
            "limit": bound.limit.value,
            "subject": bound.subject or None,
            "seconds": seconds(bound.seconds),
            "text": held_up(bound, conditions),
        },
        "advice": [
            {"text": advice.text, "makespanSeconds": seconds(advice.makespan)} for advice in outlook.advice
        ],
        "hosts": [
            {
                "host": host,
                "disks": len(passages),
                "bytes": sum(passage.disk.size for passage in passages),
                "doneSeconds": seconds(max(passage.left for passage in passages)),
            }
            for host, passages in forecast.by_host.items()
        ],
        "assumptions": assumptions(conditions),
        "passages": [passed(passage) for passage in forecast.passages],
        "leftOut": [{"vm": disk.vm, "disk": disk.path, "reason": disk.problem} for disk in outlook.left_out],
    }


def assumptions(conditions: Conditions) -> dict[str, Any]:
    """Return what the forecast stands on, for scripts."""
    rates = conditions.rates
    return {
        "copyMiBPerSecond": rates.copy,
        "hostMiBPerSecond": finite(rates.host),
        "arrayMiBPerSecond": finite(rates.array),
        "rescanSeconds": conditions.steps.rescan,
        "slots": conditions.slots,
        "inFlight": conditions.in_flight,
        "scope": conditions.scope.value,
        "copyHosts": conditions.choice.value,
    }


def passed(passage: Passage) -> dict[str, Any]:
    """Return what becomes of a disk, for scripts."""
    return {
        "disk": passage.disk.name,
        "datastore": passage.disk.datastore,
        "bytes": passage.disk.size,
        "host": passage.host,
        "podSeconds": seconds(passage.admitted),
        "copyBeginsSeconds": seconds(passage.began),
        "copyEndsSeconds": seconds(passage.ended),
        "doneSeconds": seconds(passage.left),
    }


def most_at_once(passages: Sequence[Passage]) -> int:
    """Return how many copies run at once at most."""
    events = sorted([(p.began, 1) for p in passages] + [(p.ended, -1) for p in passages])
    most = running = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most


def copying(passages: Sequence[Passage]) -> float:
    """Return the seconds in which at least one copy runs."""
    total = until = 0.0
    for passage in sorted(passages, key=lambda each: each.began):
        total += max(passage.ended - max(passage.began, until), 0.0)
        until = max(until, passage.ended)
    return total


def in_units(size: int) -> str:
    """Return bytes for people."""
    amount, unit = size / MIB, "MiB"
    for larger in ("GiB", "TiB", "PiB"):
        if amount >= 1024:
            amount, unit = amount / 1024, larger
    return f"{amount:,.0f} {unit}" if amount >= 100 or amount == int(amount) else f"{amount:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def finite(rate: float) -> float | None:
    """Return a rate; None where it is no limit."""
    return rate if rate < math.inf else None


def seconds(moment: float) -> float:
    """Return seconds as scripts get them."""
    return round(moment, 1)
