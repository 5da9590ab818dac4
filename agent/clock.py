"""The time of this host."""

from datetime import UTC, datetime


class SystemClock:
    """A Clock that reads the system's."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)
