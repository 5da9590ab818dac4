"""Where a report goes: a receiver's channel, the format it carries, the gate before it."""

from dataclasses import dataclass

from tapwarden.model.ports import Channel, Formatter, Gate
from tapwarden.model.report import Passed, Report


class OpenGate:
    """Lets everything through: for receivers within the house, and tests."""

    def passed(self, report: Report) -> Passed:
        """The report itself."""
        return Passed(report, tlp=str(report.body.get("tlp", "")))

    def leak(self, payload: bytes) -> str:
        """Nothing."""
        del payload
        return ""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one receiver; its name is "" for the coordinating centre."""

    receiver: str
    channel: Channel
    formatter: Formatter
    gate: Gate
