"""How long a plan's copies will take, what holds them up, and what would help: from inventory or list to an outlook."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from populator.plan.disk_list import BadList, parse_disks
from populator.plan.forecast import Conditions, Forecast, HostChoice, Plan, PlannedDisk, Rates, Steps
from populator.plan.forecast_advice import Advice, advise
from populator.plan.forecast_bounds import Bound, bottleneck
from populator.plan.forecast_run import simulate
from populator.plan.measured import parse_measured, rate_of
from populator.settings.forecast import ForecastSettings
from vsphere.errors import VsphereError
from vsphere.model import Survey, SurveyedDisk

log = logging.getLogger(__name__)


class ForecastParts(Protocol):
    """What a forecast may take."""

    @property
    def settings(self) -> ForecastSettings:
        """The settings of this run."""

    def survey(self, vms: Sequence[str]) -> Survey:
        """Return the disks of these VMs, as vCenter has them."""


@dataclass(frozen=True)
class Outlook:
    """What is to be told."""

    forecast: Forecast
    bottleneck: Bound
    advice: tuple[Advice, ...]
    """the best first"""
    left_out: tuple[SurveyedDisk, ...]
    """disks that no host can copy"""


def look_ahead(parts: ForecastParts) -> Outlook:
    """Forecast the copies that the settings are about; touches nothing."""
    conditions = conditions_of(parts.settings)
    plan, left_out = plan_of(parts, conditions)
    forecast = simulate(plan)
    return Outlook(forecast, bottleneck(forecast), advise(forecast), left_out)


def plan_of(parts: ForecastParts, conditions: Conditions) -> tuple[Plan, tuple[SurveyedDisk, ...]]:
    """Return what is to be copied, and the disks that cannot be; raise where nothing can."""
    if file := parts.settings.disks:
        try:
            listed = parse_disks(file.text)
        except BadList as error:
            raise file.refuse(error.problems) from error
        return Plan(listed.disks, listed.mounted, conditions), ()
    found = parts.survey(parts.settings.vms)
    left_out = tuple(disk for disk in found.disks if disk.problem)
    disks = tuple(
        PlannedDisk(disk.path, disk.capacity, disk.host, disk.datastore)
        for disk in found.disks
        if not disk.problem
    )
    if not disks:
        why = "; ".join(f"{disk.path}: {disk.problem}" for disk in left_out[:3]) or "they have none"
        raise VsphereError(f"The VMs have no disk that a host could copy: {why}.", "Name other VMs.")
    return Plan(disks, found.mounted, conditions), left_out


def conditions_of(settings: ForecastSettings) -> Conditions:
    """Return what the copies run under: what was given, what was measured, else the program's own values."""
    rates, steps = Rates(), Steps()
    if copy := settings.copy_rate or measured_rate(settings):
        rates = replace(rates, copy=copy)
    if settings.host_rate:
        rates = replace(rates, host=settings.host_rate)
    if settings.array_rate:
        rates = replace(rates, array=settings.array_rate)
    if settings.rescan:
        steps = replace(steps, rescan=settings.rescan, forget=settings.rescan / 2)
    return Conditions(
        rates, steps, settings.slots, settings.in_flight, settings.scope, HostChoice(settings.copy_hosts)
    )


def measured_rate(settings: ForecastSettings) -> float | None:
    """Return the rate of earlier copies, where a file has some."""
    file = settings.measured
    if file is None:
        return None
    try:
        copies = parse_measured(file.text)
    except ValueError as error:
        raise file.refuse([f"{error}."]) from error
    rate = rate_of(copies)
    log.info("%d copies were measured: %.1f MiB/s each", len(copies), rate)
    return rate
