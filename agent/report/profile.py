"""Clock profiles: data that says which report is due when. All arithmetic is pure and in UTC."""

import calendar
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import AfterValidator

from tapwarden.agent.report.workdays import Calendar
from tapwarden.model.errors import ConfigError
from tapwarden.model.incident import Grade, Incident
from tapwarden.model.report import Stage

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


Duration = Annotated[str, AfterValidator(_is_duration)]
Facts = Mapping[str, str | int | bool]

ON_REQUEST, OF_VARIANT = "on_request", "$variant"


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(_Data):
    """A duration from a moment."""

    due: Duration
    since: str = Field(alias="from")


class Ongoing(_Data):
    """What is sent instead while the incident goes on, and when the stage itself is due after it ended."""

    send: str
    then: Span


class StageRule(_Data):
    """One stage of a profile. ``due`` is a duration, ``$variant`` (see Profile.variants), ``on_request``, or None."""

    id: str
    kind: Stage
    due: Duration | Literal["on_request", "$variant"] | None = None
    due_working_days: int | None = Field(default=None, ge=0, le=1000)
    since: str = Field(alias="from")
    cap: Span | None = None
    when: str = ""
    wording: str = ""
    repeat: bool = False
    optional: bool = False
    if_ongoing: Ongoing | None = None
    late_requires: str = ""
    required: tuple[str, ...] = ()
    required_if: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Authority(_Data):
    """Who is reported to."""

    name: str
    hotline: str = ""
    channel: str = ""


class Conditions(_Data):
    """When a profile applies: all of what is given. Severity 1 is the highest; a grade's level 1 the gravest."""

    severity_at_most: int | None = None
    grade: Mapping[str, int] = Field(default_factory=dict)
    facts: Mapping[str, bool | str | int] = Field(default_factory=dict)
    unless: Mapping[str, bool | str | int] = Field(default_factory=dict)
    known: tuple[str, ...] = ()


class Profile(_Data):
    """A reporting profile."""

    id: str
    description: str = ""
    authority: Authority = Authority(name="")
    verified: str = ""
    enabled: bool = True
    start: str
    applies_if: Conditions = Conditions()
    variant_by: str = ""
    variant_default: str = ""
    variants: Mapping[str, Mapping[str, Duration]] = Field(default_factory=dict)
    stages: tuple[StageRule, ...] = Field(min_length=1)
    retention: Mapping[str, Duration] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> "Profile":
        ids = [rule.id for rule in self.stages]
        if len(set(ids)) < len(ids):
            raise ValueError(f"profile {self.id} has two stages of one id")
        for rule in self.stages:
            if rule.due == OF_VARIANT and rule.id not in self.variants.get(self.variant_default, {}):
                raise ValueError(f"variant_default {self.variant_default!r} says nothing of stage {rule.id}")
        return self

    def rule(self, stage_id: str) -> StageRule:
        """The rule of a stage by its id. Raises KeyError."""
        for rule in self.stages:
            if rule.id == stage_id:
                return rule
        raise KeyError(f"profile {self.id} has no stage {stage_id}")

    def stage(self, stage: Stage) -> StageRule:
        """The first rule of a kind. Raises KeyError."""
        for rule in self.stages:
            if rule.kind == stage:
                return rule
        raise KeyError(f"profile {self.id} has no {stage} stage")

    def duration(self, rule: StageRule, facts: Facts) -> str | None:
        """How long the stage has, of these facts; None where nothing says."""
        if rule.due == OF_VARIANT:
            chosen = self.variants.get(str(facts.get(self.variant_by, "")), {})
            return chosen.get(rule.id) or self.variants[self.variant_default][rule.id]
        return None if rule.due == ON_REQUEST else rule.due

    def due(
        self, rule: StageRule, moments: Mapping[str, datetime], facts: Facts, calendar: Calendar
    ) -> tuple[datetime, datetime | None] | None:
        """Since when the stage's time runs and when it ends (None: promptly); None while it has not begun."""
        start = moments.get(rule.since)
        if start is None:
            return None
        duration = self.duration(rule, facts)
        end = after(start, duration) if duration else None
        if rule.due_working_days is not None:
            end = calendar.after(start, rule.due_working_days)
        if rule.cap is not None and (base := moments.get(rule.cap.since)) is not None:
            cap = after(base, rule.cap.due)
            end = cap if end is None else min(end, cap)
        return start, end

    def deadline(self, stage: Stage, moments: Mapping[str, datetime], facts: Facts | None = None) -> datetime | None:
        """When the first stage of a kind has to be acknowledged; None while its time has not begun."""
        found = self.due(self.stage(stage), moments, facts or {}, Calendar())
        return found[1] if found else None

    def missing(self, stage: Stage | str, body: Mapping[str, object]) -> tuple[str, ...]:
        """Required keys the document lacks. ``unknown`` is a legal value; a missing or empty one is not.

        What ``required_if`` asks depends on the facts in the document.
        """
        rule = self.stage(stage) if isinstance(stage, Stage) else self.rule(stage)
        facts = body.get("facts")
        known = facts if isinstance(facts, Mapping) else {}
        wanted = [*rule.required, *(key for fact, keys in rule.required_if.items() if known.get(fact) for key in keys)]
        return tuple(key for key in dict.fromkeys(wanted) if body.get(key) in (None, "", {}))


def applies(profile: Profile, incident: Incident, grades: Mapping[str, Grade]) -> bool:
    """Whether the profile is switched on and all its conditions hold for the incident."""
    asked, facts = profile.applies_if, incident.facts
    if not profile.enabled or (asked.severity_at_most is not None and incident.severity > asked.severity_at_most):
        return False
    for scheme, level in asked.grade.items():
        found = grades.get(scheme)
        if found is None or not 1 <= found.level <= level:
            return False
    return (
        all(facts.get(name) == value for name, value in asked.facts.items())
        and not any(facts.get(name) == value for name, value in asked.unless.items())
        and all(facts.get(name) not in (None, "", "unknown") for name in asked.known)
    )


def shipped_profiles() -> Mapping[str, Profile]:
    """The profiles that come with the package, by id."""
    return read_profiles(resources.files(__package__).joinpath("profiles.yaml").read_text("utf-8"), "profiles.yaml")


def read_profiles(text: str, path: str, known: Mapping[str, Profile] | None = None) -> Mapping[str, Profile]:
    """Profiles from YAML text. Raises ConfigError.

    One that ``extends`` another (of this text, or of ``known``) has all of it but what it says otherwise; stages of the
    same id are changed key by key, others added.
    """
    try:
        raw = yaml.safe_load(text) or []
        if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
            raise ConfigError("write a list of profiles", path=path)
        whole: dict[str, dict[str, Any]] = {
            name: profile.model_dump(by_alias=True, exclude_unset=True, mode="json")
            for name, profile in (known or {}).items()
        }
        found: dict[str, Profile] = {}
        for one in raw:
            complete = _extended(one, whole, path)
            profile = Profile.model_validate(complete)
            whole[profile.id], found[profile.id] = complete, profile
    except yaml.YAMLError as error:
        raise ConfigError(str(error), path=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(first["msg"], path=path, key=".".join(map(str, first["loc"]))) from error
    return found


def _extended(profile: dict[str, Any], whole: Mapping[str, dict[str, Any]], path: str) -> dict[str, Any]:
    if "extends" not in profile:
        return profile
    base = whole.get(str(profile["extends"]))
    if base is None:
        raise ConfigError(f"there is no profile {profile['extends']!r} before it", path=path, key="extends")
    stages = {rule["id"]: dict(rule) for rule in base["stages"]}
    for rule in profile.get("stages") or ():
        if not isinstance(rule, dict) or "id" not in rule:
            raise ConfigError("a stage needs an id", path=path, key="stages")
        stages[rule["id"]] = {**stages.get(rule["id"], {}), **rule}
    own = {key: value for key, value in profile.items() if key != "extends"}
    return {**base, **own, "stages": list(stages.values())}


def moments(incident: Incident) -> Mapping[str, datetime]:
    """The incident's recorded times by name with ``_at``: corrected ones as corrected, repeated ones the latest."""
    names = dict.fromkeys(entry.name for entry in incident.timeline)
    found = {f"{name}_at": at for name in names if (at := incident.moment(name)) is not None}
    found |= {"detected_at": incident.detected_at, "opened_at": incident.opened_at}
    if incident.closed_at is not None:
        found["closed_at"] = incident.closed_at
    return found
