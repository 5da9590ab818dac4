"""The decision form of an incident: what to do to which targets, why, on what basis, how long; first a preview.

The form's state is its URL, so that an analyst who may not decide can fill it in and pass the link to one who may.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from tapwarden.dashboards.access import ConsoleDep, DeniedError, Right, VisitorDep, csrf_checked, needs
from tapwarden.dashboards.console import Console
from tapwarden.dashboards.pages.incidents import find_incident, incident_groups
from tapwarden.dashboards.render import done, page
from tapwarden.model.decision import ActionState, Impact, Measure, Target, TargetType
from tapwarden.model.errors import StoreError
from tapwarden.model.incident import Incident

router = APIRouter(prefix="/incidents", dependencies=[Depends(needs(Right.READ))])

DURATIONS = {"15m": 900, "1h": 3600, "4h": 4 * 3600, "24h": 86400, "7d": 7 * 86400, "30d": 30 * 86400}
MAX_TARGETS = 256
LOOK_BACK = timedelta(hours=24)

NAME = re.compile(r"^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$")
"""RFC 1035 section 2.3.1, with the underscore that names on the net really have, and at least two labels."""


@dataclass(frozen=True, slots=True)
class TargetList:
    """Targets as typed, one a line: those that could be read, and a problem for each that could not."""

    targets: tuple[Target, ...]
    problems: tuple[str, ...]


def read_targets(text: str) -> TargetList:
    """One target a line or comma: an address, a network, a name or a URL. Never raises."""
    targets: dict[Target, None] = {}
    problems: list[str] = []
    for word in re.split(r"[\s,]+", text.strip()):
        target = read_target(word) if word else None
        if target:
            targets[target] = None
        elif word:
            problems.append(f"{word[:80]} is not an address, a network, a name or a URL")
    if len(targets) > MAX_TARGETS:
        problems.append(f"more than {MAX_TARGETS} targets in one decision")
    return TargetList(tuple(targets)[:MAX_TARGETS], tuple(problems[:20]))


def read_target(word: str) -> Target | None:  # noqa: PLR0911 - one answer a form
    """A target in canonical form (IPv4-mapped IPv6 as IPv4, names in lower case and IDNA), or None.

    A name is meant with all names below it; ``=name`` alone.
    """
    word = word.strip().replace("[.]", ".").rstrip(".")
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError:
        pass
    else:
        mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
        if network.num_addresses == 1:
            return Target(TargetType.ADDRESS, str(mapped or network.network_address))
        return Target(TargetType.NETWORK, str(network))
    if re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]+(/(tcp|udp))?", word):
        return Target(TargetType.ENDPOINT, word if "/" in word else f"{word}/tcp")
    if re.fullmatch(r"[0-9a-fA-F:.\[\]]+:[0-9]+-[0-9a-fA-F:.\[\]]+:[0-9]+(/(tcp|udp))?", word):
        return Target(TargetType.CONNECTION, word if "/" in word else f"{word}/tcp")
    if re.match(r"^https?://[^\s/]+", word, re.IGNORECASE):
        return Target(TargetType.URL, word)
    alone, word = word.startswith("="), word.removeprefix("=")
    try:
        name = word.lower() if word.isascii() else word.lower().encode("idna").decode()
    except UnicodeError:
        return None
    kind = TargetType.HOSTNAME if alone else TargetType.DOMAIN
    return Target(kind, name) if NAME.match(name) else None


@router.get("/{incident_id}/decide")
def show_decide(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    incident_id: str,
    measure: Measure = Measure.BLOCK,
    targets: Annotated[str, Query(max_length=40_000)] = "",
    reason: Annotated[str, Query(max_length=2000)] = "",
    legal_basis: Annotated[str, Query(max_length=500)] = "",
    scope: Annotated[str, Query(max_length=200)] = "this sensor's network",
    duration: Annotated[str, Query(max_length=8)] = "24h",
) -> Response:
    incident = find_incident(console, incident_id)
    listed = read_targets(targets)
    preview, problem = _preview(console, listed.targets) if listed.targets else (None, "")
    data: dict[str, Any] = {
        "incident": incident,
        "measure": measure,
        "measures": tuple(Measure),
        "targets": targets,
        "read_targets": listed.targets,
        "target_problems": listed.problems,
        "reason": reason,
        "legal_basis": legal_basis,
        "scope": scope,
        "duration": duration if duration in DURATIONS else "24h",
        "durations": DURATIONS,
        "suggestions": suggested_targets(console, incident),
        "preview": preview,
        "preview_problem": problem,
        "missing": [n for n, v in {"reason": reason, "legal basis": legal_basis}.items() if not v.strip()],
    }
    return page(request, console, person, "decide.html", data)


@router.post("/{incident_id}/decide", dependencies=[Depends(csrf_checked), Depends(needs(Right.DECIDE))])
def decide(
    request: Request,
    console: ConsoleDep,
    person: VisitorDep,
    incident_id: str,
    measure: Annotated[Measure, Form()],
    targets: Annotated[str, Form(max_length=40_000)],
    reason: Annotated[str, Form(max_length=2000)] = "",
    legal_basis: Annotated[str, Form(max_length=500)] = "",
    scope: Annotated[str, Form(max_length=200)] = "",
    duration: Annotated[str, Form(max_length=8)] = "",
    override: Annotated[bool, Form()] = False,
) -> Response:
    incident = find_incident(console, incident_id)
    listed = read_targets(targets)
    fields = {"targets": listed.targets, "a reason": reason.strip(), "a legal basis": legal_basis.strip()}
    missing = [name for name, value in {**fields, "a scope": scope.strip()}.items() if not value]
    if listed.problems:
        raise DeniedError(400, "Targets not understood", "; ".join(listed.problems))
    if missing:
        raise DeniedError(400, "Not complete", f"A decision needs {', '.join(missing)}.")
    if duration not in DURATIONS:
        raise DeniedError(400, "No such duration", f"Choose one of {', '.join(DURATIONS)}.")
    actions = console.desk.decide(
        incident.id,
        measure=measure,
        targets=listed.targets,
        scope=scope.strip(),
        reason=reason.strip(),
        legal_basis=legal_basis.strip(),
        duration_s=DURATIONS[duration],
        by=person.name,
        override=override,
    )
    waiting = sum(action.state is ActionState.SIMULATED for action in actions)
    refused = sum(action.state is ActionState.REFUSED for action in actions)
    failed = sum(action.state is ActionState.FAILED for action in actions)
    notice = f"Decided: {len(actions) - refused - failed - waiting} of {len(actions)} actions taken up."
    if waiting:
        notice += f" {waiting} wait for somebody else's approval."
    if refused or failed:
        notice += f" {refused} refused by policy, {failed} failed: see the actions below."
    return done(request, person, f"/incidents/{incident.id}#actions", notice, {"actions": actions})


def suggested_targets(console: Console, incident: Incident) -> Sequence[Target]:
    """What can be acted on: the incident's indicators, then names and far addresses of its alert groups."""
    words = list(incident.indicators)
    for group in incident_groups(console, incident):
        words += [*group.badges, group.dest_ip, group.src_ip]
    found = dict.fromkeys(target for word in words if (target := read_target(word)))
    return tuple(found)[:40]


def _preview(console: Console, targets: Sequence[Target]) -> tuple[Impact | None, str]:
    """What the guard and the stored traffic say; the problem when they cannot be asked."""
    try:
        return console.desk.simulate(targets, since=console.clock.now() - LOOK_BACK), ""
    except StoreError as error:
        return None, str(error)
