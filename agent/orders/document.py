"""The order as a document: what is signed, the STIX object that carries it, and the OpenC2 command that does.

Signed is the content (schema ``tapwarden-order/1``) in canonical form; the carriers are not, so that a server in
between may add what it likes to them.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tapwarden.agent.orders.openc2 import COMMANDS_MAX
from tapwarden.agent.orders.refusal import BAD_REQUEST, Refusal

SCHEMA: Literal["tapwarden-order/1"] = "tapwarden-order/1"

EXTENSION = "extension-definition--978e841c-a6bf-45ab-ae72-c13271bd0641"
"""Our property extension on course-of-action (orders), note (feedback, answers, determinations, queries)."""

CARRIER = "x-order"
"""The namespace in an OpenC2 command's ``args`` that carries the rest of the order."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
CidrOrName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LegalBasis(_Strict):
    """The instrument, its article, and where its text is."""

    instrument: Text
    article: Text
    text_ref: str = ""

    def __str__(self) -> str:
        return f"{self.instrument}, {self.article}"


class Scope(_Strict):
    """How far the order reaches: no target outside it is touched."""

    text: Text
    networks: Annotated[tuple[CidrOrName, ...], Field(max_length=100)] = ()
    target_types: tuple[str, ...] = ()
    max_targets: int = Field(default=COMMANDS_MAX, ge=1, le=COMMANDS_MAX)


class Oral(_Strict):
    """Given on the phone first: who confirmed it, and when its paper is due."""

    confirmed_by: Text
    paper_due_at: AwareDatetime


class OrderContent(BaseModel):
    """What is signed."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["tapwarden-order/1"] = Field(alias="schema")
    order_id: Id
    seq: int = Field(ge=1, le=2**53 - 1)
    from_: Id = Field(alias="from")
    to: Id
    issued_at: AwareDatetime
    not_before: AwareDatetime
    expires: AwareDatetime
    due_at: AwareDatetime
    category: str
    legal_basis: LegalBasis
    scope: Scope
    reason: Text
    commands: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=COMMANDS_MAX)]
    incident_ref: str = ""
    paper_for: str = ""
    oral: Oral | None = None
    drill: bool = False


def read(content: Any) -> OrderContent:
    """The signed content. Raises Refusal 400 that names each key and what is wrong with it."""
    try:
        return OrderContent.model_validate_json(json.dumps(content))
    except (ValidationError, TypeError, ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise Refusal(BAD_REQUEST, f"no order: {error}") from None
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'order'}: {each['msg']}" for each in error.errors()[:10]]
        raise Refusal(BAD_REQUEST, "; ".join(wrong)) from None


def stix_id(kind: str, *names: str) -> str:
    """The id of our STIX object of this type about this: the same thing said twice is one object.

    Version 4, as STIX 2.1 section 2.9 asks of everything but observables.
    """
    mark = hashlib.sha256(json.dumps(["tapwarden", kind, *names]).encode()).digest()
    return f"{kind}--{uuid.UUID(bytes=mark[:16], version=4)}"


def stamp(moment: datetime) -> str:
    """A time as STIX writes it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def course_of_action(content: Mapping[str, Any], signature: Mapping[str, str], at: datetime) -> dict[str, Any]:
    """The STIX object that carries an order."""
    order_id, issuer = str(content["order_id"]), str(content["from"])
    names = ", ".join(str(value) for command in content["commands"] for value in command["target"].values())
    return {
        "type": "course-of-action",
        "spec_version": "2.1",
        "id": stix_id("course-of-action", issuer, order_id),
        "created": stamp(at),
        "modified": stamp(at),
        "name": f"Order {order_id}: {content['commands'][0]['action']} {names}"[:250],
        "description": str(content["reason"]),
        "external_references": [{"source_name": issuer, "external_id": order_id}],
        "extensions": {
            EXTENSION: {"extension_type": "property-extension", "order": dict(content), "signature": dict(signature)}
        },
    }


def of_stix(thing: Mapping[str, Any], what: str) -> Mapping[str, Any] | None:
    """Our extension of a STIX object, if it has ``what`` in it."""
    extensions = thing.get("extensions")
    ours = extensions.get(EXTENSION) if isinstance(extensions, Mapping) else None
    return ours if isinstance(ours, Mapping) and isinstance(ours.get(what), Mapping) else None


def note(
    what: str,
    content: Mapping[str, Any],
    *,
    about: str,
    text: str,
    at: datetime,
    names: tuple[str, ...],
) -> dict[str, Any]:
    """A STIX note that carries ``content`` as our extension's ``what``; ``about`` is the id of what it is on."""
    return {
        "type": "note",
        "spec_version": "2.1",
        "id": stix_id("note", what, *names),
        "created": stamp(at),
        "modified": stamp(at),
        "abstract": text[:250],
        "content": text,
        "object_refs": [about],
        "extensions": {EXTENSION: {"extension_type": "property-extension", what: dict(content)}},
    }


def carried(request: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The order that an OpenC2 command carries in its args, whole again, and its signature. Raises Refusal."""
    args = request.get("args")
    carrier = args.get(CARRIER) if isinstance(args, Mapping) else None
    if (
        not isinstance(args, Mapping)
        or not isinstance(carrier, Mapping)
        or not isinstance(carrier.get("order"), Mapping)
    ):
        raise Refusal(401, f"a command needs a signed order: args.{CARRIER} with order and signature")
    bare = {name: value for name, value in request.items() if name != "args"}
    rest = {name: value for name, value in args.items() if name != CARRIER}
    if rest:
        bare["args"] = rest
    return {**carrier["order"], "commands": [bare]}, carrier.get("signature")


def carrying(content: Mapping[str, Any], signature: Mapping[str, str]) -> dict[str, Any]:
    """An order of one command as that OpenC2 command. Raises ValueError for one of several."""
    (command,) = content["commands"]
    order = {name: value for name, value in content.items() if name != "commands"}
    args = {**command.get("args", {}), CARRIER: {"order": order, "signature": dict(signature)}}
    return {**command, "args": args}
