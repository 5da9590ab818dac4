"""What can become of an incident: classified, attributed, assessed, determined, merged, split. Pure.

    suspected --submitted--> submitted --determined--> confirmed | rejected | needs_information --submitted--> submitted

Each function gives the incident with the change and its entry in the timeline, or raises RefusedError. ``now`` is when
it is written down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tapwarden.agent.triage.opening import MAX_MEMBERS, members
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import (
    FACTS,
    SET_ONCE,
    SUBTYPES,
    AlertGroup,
    Incident,
    IncidentState,
    Ownership,
    ThreatClass,
    TimelineEntry,
)

DETERMINATIONS = (IncidentState.CONFIRMED, IncidentState.REJECTED, IncidentState.NEEDS_INFORMATION)

Facts = Mapping[str, str | int | bool]

TEXT_MAX, NOTES_MAX, COUNT_MAX = 2000, 500, 10**15


def noted(incident: Incident, name: str, text: str, by: str, now: datetime) -> Incident:
    """The incident with a further entry in its timeline."""
    entry = TimelineEntry(now, name, text[:TEXT_MAX], by, recorded_at=now)
    return replace(incident, timeline=(*incident.timeline, entry))


def classified(
    incident: Incident, threat_class: ThreatClass, subtype: str, kind_text: str, by: str, now: datetime
) -> Incident:
    """Of this class and sub-type: exactly one of each, from the closed list."""
    if subtype not in SUBTYPES[threat_class]:
        raise RefusedError(f"{subtype!r} is no sub-type of {threat_class}", entry=", ".join(SUBTYPES[threat_class]))
    if threat_class is ThreatClass.OTHER and not kind_text.strip():
        raise RefusedError("what is of no class takes a text that says what it is", entry="other")
    changed = replace(incident, threat_class=threat_class, subtype=subtype, kind_text=kind_text.strip()[:TEXT_MAX])
    return noted(changed, "class", f"{threat_class}: {subtype} {kind_text}".strip(), by, now)


def attributed(incident: Incident, ownership: Ownership, reason: str, by: str, now: datetime) -> Incident:
    """In our own network, or a third party's."""
    _needs(reason, "saying whose network it is")
    return noted(replace(incident, ownership=ownership), "ownership", f"{ownership}: {reason}", by, now)


def assessed(incident: Incident, facts: Facts, severity: int | None, by: str, now: datetime) -> Incident:
    """With these facts known."""
    checked = {name: fact(name, value) for name, value in facts.items()}
    if severity is not None and not 1 <= severity <= 4:
        raise RefusedError("a severity is 1 (high) to 4")
    said = ", ".join(f"{name}={value}" for name, value in checked.items())
    said += f"{', ' if said else ''}severity={severity}" if severity is not None else ""
    if not said:
        raise RefusedError("nothing was said")
    changed = replace(incident, facts={**incident.facts, **checked}, severity=severity or incident.severity)
    return noted(changed, "assessed", said, by, now)


def fact(name: str, value: str | int | bool) -> str | int | bool:
    """A fact's value in its own kind, from text as well. Raises RefusedError."""
    if name not in FACTS:
        raise RefusedError(f"there is no fact {name!r}", entry=", ".join(FACTS))
    kind = FACTS[name][0]
    if value == "unknown":
        return value
    if kind == "flag":
        flag = {"true": True, "yes": True, "false": False, "no": False}.get(str(value).lower())
        if flag is None:
            raise RefusedError(f"{name} is yes, no or unknown, not {value!r}")
        return flag
    if kind == "count":
        text = str(value).replace(",", "").replace("_", "")
        if not text.isascii() or not text.isdigit() or int(text) > COUNT_MAX:
            raise RefusedError(f"{name} is a number or unknown, not {value!r}")
        return int(text)
    return str(value)[:TEXT_MAX]


def stamped(
    incident: Incident, name: str, at: datetime, text: str, by: str, now: datetime, *, correct: bool = False
) -> Incident:
    """With a moment recorded: set once; a correction says why and leaves the entry it corrects."""
    if not name.isidentifier() or len(name) > 40:
        raise RefusedError(f"{name!r} names no moment", entry=", ".join((*SET_ONCE, "changed")))
    if at.tzinfo is None:
        raise RefusedError("a moment needs a timezone")
    if at > now:
        raise RefusedError("what has not happened yet cannot be recorded")
    is_set = name in SET_ONCE and incident.moment(name) is not None
    if is_set and not correct:
        raise RefusedError(f"{name} was recorded; it is corrected by a further entry, never changed", entry=name)
    if correct:
        if not is_set:
            raise RefusedError(f"{name} was not recorded: there is nothing to correct", entry=name)
        _needs(text, "correcting a moment")
    entry = TimelineEntry(at, name, text[:TEXT_MAX], by, recorded_at=now, corrects=correct)
    changed = replace(incident, timeline=(*incident.timeline, entry))
    if name == "detected":
        changed = replace(changed, detected_at=at)
    return changed


def submitted(incident: Incident, by: str, now: datetime, text: str = "") -> Incident:
    """Submitted to whoever determines it."""
    if incident.state not in (IncidentState.SUSPECTED, IncidentState.NEEDS_INFORMATION):
        raise RefusedError(f"this incident is {incident.state} already", entry=incident.id)
    return noted(replace(incident, state=IncidentState.SUBMITTED), "submitted", text, by, now)


def determined(incident: Incident, state: IncidentState, reason: str, by: str, now: datetime) -> Incident:
    """Confirmed, rejected, or in need of information; never by who detected or submitted it."""
    if state not in DETERMINATIONS:
        raise RefusedError(f"{state} is no determination", entry=", ".join(DETERMINATIONS))
    if incident.state not in (IncidentState.SUBMITTED, IncidentState.NEEDS_INFORMATION):
        raise RefusedError(f"only what was submitted is determined; this is {incident.state}", entry=incident.id)
    detectors = {incident.opened_by, *(entry.by for entry in incident.timeline if entry.name == "submitted")}
    if by in detectors:
        raise RefusedError("who detected or submitted it does not determine it: somebody else has to", entry=by)
    _needs(reason, "a determination")
    final = state is not IncidentState.NEEDS_INFORMATION
    changed = replace(incident, state=state, determined_by=by, determined_at=now if final else None)
    return noted(changed, state.value, reason, by, now)


def merged(
    incident: Incident, others: Sequence[Incident], reason: str, by: str, now: datetime
) -> tuple[Incident, list[Incident]]:
    """The incident with the others in it, and the others closed. Its clock then starts at the earliest detection."""
    _needs(reason, "merging")
    if not others or incident.id in {other.id for other in others}:
        raise RefusedError("merging takes other incidents")
    for other in others:
        if other.drill != incident.drill:
            raise RefusedError("a drill is never mixed with what is real", entry=other.id)
        if other.ownership is not incident.ownership:
            raise RefusedError("one is in our network, the other in a third party's", entry=other.id)
    everything = (incident, *others)
    whole = replace(
        incident,
        group_ids=tuple(dict.fromkeys(x for one in everything for x in one.group_ids))[:MAX_MEMBERS],
        affected=tuple(dict.fromkeys(x for one in everything for x in one.affected))[:MAX_MEMBERS],
        indicators=tuple(dict.fromkeys(x for one in everything for x in one.indicators))[:MAX_MEMBERS],
        severity=min(one.severity for one in everything),
        related=(*incident.related, *(("merged_from", other.id) for other in others)),
    )
    whole = noted(whole, "merged", f"{', '.join(other.id for other in others)} into this: {reason}", by, now)
    earliest = min(everything, key=lambda one: one.detected_at)
    if earliest.detected_at < incident.detected_at:
        text = f"first detected with {earliest.id}, which was merged into this"
        whole = stamped(whole, "detected", earliest.detected_at, text, by, now, correct=bool(whole.moment("detected")))
    closed = []
    for other in others:
        gone = replace(
            other,
            state=IncidentState.CLOSED,
            closed_at=now,
            related=(*other.related, ("merged_into", incident.id)),
        )
        closed.append(noted(gone, "closed", f"merged into {incident.id}: {reason}", by, now))
    return whole, closed


def split(
    incident: Incident,
    groups: Sequence[AlertGroup],
    rest: Sequence[AlertGroup],
    *,
    new_id: str,
    title: str,
    reason: str,
    by: str,
    now: datetime,
    ours: Callable[[str], bool],
) -> tuple[Incident, Incident]:
    """The incident without these groups, and a new one of them whose clock starts when the old one's did."""
    _needs(reason, "splitting")
    if not groups or not rest:
        raise RefusedError("splitting takes some of the incident's groups and leaves some")
    ids = {group.id for group in groups}
    subject = incident.indicators[0] if incident.indicators else ""
    affected, indicators = members(groups, "", ours)
    stay_affected, stay_indicators = members(rest, subject, ours)
    part = replace(
        incident,
        id=new_id,
        title=title.strip() or incident.title,
        opened_at=now,
        opened_by=by,
        state=IncidentState.SUSPECTED,
        determined_by="",
        determined_at=None,
        group_ids=tuple(group.id for group in groups)[:MAX_MEMBERS],
        affected=affected,
        indicators=indicators,
        notes=(),
        related=(("split_from", incident.id),),
        timeline=tuple(entry for entry in incident.timeline if entry.name in SET_ONCE),
    )
    part = noted(part, "split", f"from {incident.id}: {reason}", by, now)
    left = replace(
        incident,
        group_ids=tuple(one for one in incident.group_ids if one not in ids),
        affected=tuple(x for x in incident.affected if x not in affected or x in stay_affected),
        indicators=tuple(x for x in incident.indicators if x not in indicators or x in stay_indicators),
        related=(*incident.related, ("split_into", new_id)),
    )
    return noted(left, "split", f"{len(groups)} groups into {new_id}: {reason}", by, now), part


def remarked(incident: Incident, text: str, by: str, now: datetime) -> Incident:
    """With a note."""
    _needs(text, "a note")
    note = f"{now:%Y-%m-%d %H:%MZ} {by}: {text.strip()[:TEXT_MAX]}"
    return replace(incident, notes=(*incident.notes, note)[-NOTES_MAX:])


def assigned(incident: Incident, responsible: str, by: str, now: datetime) -> Incident:
    """With somebody who answers for it."""
    _needs(responsible, "an incident's responsible person")
    return noted(replace(incident, responsible=responsible.strip()[:200]), "assigned", responsible.strip(), by, now)


def may_act(incident: Incident) -> str:
    """Why nothing may be done on an incident; "" where something may. Whatever is decided, also by an order."""
    if incident.ownership is Ownership.THIRD_PARTY:
        return "the threat is in a third party's network: it is reported, nothing is done there"
    if incident.state is IncidentState.REJECTED:
        return f"the incident was rejected by {incident.determined_by}"
    return ""


def _needs(text: str, what: str) -> None:
    if not text.strip():
        raise RefusedError(f"{what} takes a text")
