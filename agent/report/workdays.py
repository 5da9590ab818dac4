"""Working days: a week's pattern with the holidays and shifted working days of a calendar file."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from tapwarden.model.errors import ConfigError

DAYS_MOST = 3660
"""Days looked ahead at most: a calendar without any working day ends here instead of never."""


class Calendar(BaseModel):
    """Which days are worked. ``weekend``: 0 is Monday; ``working``: days worked though their weekday says otherwise.

    ``timezone`` is where a day begins and ends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str = "UTC"
    weekend: tuple[int, ...] = (5, 6)
    holidays: frozenset[date] = frozenset()
    working: frozenset[date] = frozenset()

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no timezone {value!r}, for example Asia/Shanghai") from None
        return value

    def is_working(self, day: date) -> bool:
        """Whether this day is worked."""
        return day in self.working or (day.weekday() not in self.weekend and day not in self.holidays)

    def after(self, moment: datetime, days: int) -> datetime:
        """The end of the n-th working day after the day of ``moment``, in UTC. The day itself does not count."""
        zone = ZoneInfo(self.timezone)
        day = moment.astimezone(zone).date()
        for _ in range(DAYS_MOST):
            if days <= 0:
                break
            day += timedelta(days=1)
            days -= self.is_working(day)
        midnight = datetime.combine(day + timedelta(days=1), time(), zone)
        return midnight.astimezone(UTC) - timedelta(seconds=1)


def read_calendar(text: str, path: str) -> Calendar:
    """A calendar from YAML text (timezone, weekend, holidays, working). Raises ConfigError."""
    try:
        return Calendar.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise ConfigError(str(error), path=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(first["msg"], path=path, key=".".join(map(str, first["loc"]))) from error
