"""A figure: what was measured, beside the ideal and the reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    quantity: str
    measured: float
    ideal: float
    reach: float
    unit: str
    note: str = ""

    @property
    def holds(self) -> bool:
        """Return whether it is within reach."""
        return self.measured <= self.reach
