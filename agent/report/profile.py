"""Clock profiles: data that says which report is due when. All arithmetic is pure and in UTC."""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.functional_validators import AfterValidator

from tapwarden.model.errors import ConfigError
from tapwarden.model.incident import Incident
from tapwarden.model.report import Stage

WARN_AT = (0.5, 0.75, 0.9)
"""Parts of the time after which people are warned."""

_DURATION = re.compile(
    r"P(?:(?P<months>\d{1,3})M)?(?:(?P<days>\d{1,4})D)?(?:T(?:(?P<hours>\d{1,4})H)?(?:(?P<minutes>\d{1,4})M)?)?"
)


def after(moment: datetime, duration: str) -> datetime:
    """The moment an ISO 8601 duration later (months, days, hours, minutes), in UTC.

    A month is a calendar month, held to its last day: 31 January and P1M make 28 or 29 February. Raises ValueError.
    """
    parts = _DURATION.fullmatch(duration)
    if parts is None or not any(parts.groups()):
        raise ValueError(f"{duration!r} is no duration such as PT24H, P30D or P1M")
    months, days, hours, minutes = (int(part or 0) for part in parts.groups())
    moment = moment.astimezone(UTC)
    if months:
        year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        moment = moment.replace(year=year, month=month + 1, day=day)
    return moment + timedelta(days=days, hours=hours, minutes=minutes)


def _is_duration(text: str) -> str:
    after(datetime(2000, 1, 1, tzinfo=UTC), text)
    return text


class StageRule(BaseModel):
    """One stage of a profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Stage
    due: Annotated[str, AfterValidator(_is_duration)]
    since: str = Field(alias="from")
    repeat: bool = False
    required: tuple[str, ...]


class Profile(BaseModel):
    """A reporting profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    description: str = ""
    start: str
    stages: tuple[StageRule, ...] = Field(min_length=1)

    def stage(self, stage: Stage) -> StageRule:
        """The rule of a stage. Raises KeyError."""
        for rule in self.stages:
            if rule.id == stage:
                return rule
        raise KeyError(f"profile {self.id} has no stage {stage}")

    def deadline(self, stage: Stage, moments: Mapping[str, datetime]) -> datetime | None:
        """When the stage has to be acknowledged; None while the time it counts from has not come."""
        rule = self.stage(stage)
        moment = moments.get(rule.since)
        return None if moment is None else after(moment, rule.due)

    def missing(self, stage: Stage, body: Mapping[str, object]) -> tuple[str, ...]:
        """Required keys the document does not have. ``unknown`` is a legal value; a missing or empty one is not."""
        return tuple(key for key in self.stage(stage).required if body.get(key) in (None, "", {}))


def shipped_profiles() -> Mapping[str, Profile]:
    """The profiles that come with the package, by id."""
    return read_profiles(resources.files(__package__).joinpath("profiles.yaml").read_text("utf-8"), "profiles.yaml")


def read_profiles(text: str, path: str) -> Mapping[str, Profile]:
    """Profiles from YAML text. Raises ConfigError."""
    try:
        profiles = TypeAdapter(tuple[Profile, ...]).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(str(error), path=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(first["msg"], path=path, key=".".join(map(str, first["loc"]))) from error
    return {profile.id: profile for profile in profiles}


def moments(incident: Incident) -> Mapping[str, datetime]:
    """The incident's recorded times by name; of a name that the timeline has twice, the latest."""
    found = {f"{entry.name}_at": entry.at for entry in sorted(incident.timeline, key=lambda entry: entry.at)}
    found |= {"detected_at": incident.detected_at, "opened_at": incident.opened_at}
    if incident.closed_at is not None:
        found["closed_at"] = incident.closed_at
    return found


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Where a clock stands: the part of the time used up (above 1 when overdue), what is left, warnings passed."""

    used: float
    left: timedelta
    warnings: tuple[float, ...]
    overdue: bool


def read_clock(start: datetime, due: datetime, now: datetime) -> ClockReading:
    """How much of the time between start and due is used up now. Before the start, none is."""
    whole = (due - start).total_seconds()
    used = max((now - start).total_seconds(), 0.0) / whole if whole > 0 else 1.0
    return ClockReading(used, due - now, tuple(part for part in WARN_AT if used >= part), now > due)
