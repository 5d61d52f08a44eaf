"""What stands behind the contract of the story of a forecast; see `wiring`. Imported late, since it is slow."""

from collections.abc import Sequence

from populator.clock import Clock
from populator.reach import reach_vcenter
from populator.settings.forecast import ForecastSettings
from vsphere.model import Survey
from vsphere.vcenter.survey import survey


class RealForecast:
    """The real parts of a forecast; satisfies `stories.forecast.ForecastParts`."""

    def __init__(self, settings: ForecastSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock

    def survey(self, vms: Sequence[str]) -> Survey:
        """Return the disks of these VMs, as vCenter has them."""
        if self.settings.vsphere is None:
            raise LookupError("there is no vCenter in these settings")
        with reach_vcenter(self.settings.vsphere, self._clock) as session:
            return survey(session, vms)
