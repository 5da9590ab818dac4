"""Reports as STIX bundles into a coordinating centre's ``reports-in`` (TAXII 2.1).

The receipt is the server's status resource, once it is complete. What identifies the report has to be accepted for it:
its ``incident`` (or ``report``, ``note``) object. Another object that the server refuses is told in the receipt.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from random import SystemRandom

from tapwarden.agent.coordinate.taxii import MEDIA_TYPE, StixObject, TaxiiClient, moment_of
from tapwarden.agent.coordinate.taxii_push import Pushed, Pusher
from tapwarden.agent.coordinate.transport import ChannelSettings, connect
from tapwarden.model.errors import ChannelError
from tapwarden.model.report import Receipt, Report

COLLECTION = "reports-in"

CARRIERS = ("incident", "report", "note")
"""Types of the object that is the report, the first that a bundle has."""


class TaxiiChannel:
    """The channel ``taxii``. ``url`` is the server's or an API root's. Raises ConfigError for settings that cannot
    work."""

    name = "taxii"

    def __init__(self, settings: ChannelSettings, collection: str = COLLECTION) -> None:
        self._url, self._name = settings.url, collection
        self._http = connect(settings, MEDIA_TYPE)
        self._pusher: Pusher | None = None

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt:
        """See the port; the payload is a STIX 2.1 bundle."""
        objects = bundle_objects(payload, media_type)
        pushed = self.push(objects)
        carrier = _carrier(objects)
        if refused := pushed.failed.get(str(carrier.get("id", ""))):
            raise ChannelError(f"the {carrier.get('type')} object was refused: {refused}", permanent=True)
        if not pushed.statuses:
            raise ChannelError("nothing was accepted")
        last = pushed.statuses[-1]
        received_at = moment_of(last.requested_at) or datetime.now(UTC)
        raw = json.dumps({"status": last.raw, "failed": dict(pushed.failed)}, ensure_ascii=False)
        return Receipt(last.id, received_at, raw)

    def push(self, objects: Sequence[StixObject]) -> Pushed:
        """Post objects as they are. Raises ChannelError when the server is away or does not let us."""
        try:
            if self._pusher is None:
                client = TaxiiClient.discover(self._url, self._http)
                most = client.root().max_content_length
                self._pusher = Pusher(client, client.collection(self._name), most, random=SystemRandom())
            return self._pusher.push(objects)
        except ChannelError:
            self._pusher = None  # rights, limits and ids are asked for again
            raise


def bundle_objects(payload: bytes, media_type: str) -> list[StixObject]:
    """The objects of a bundle. Raises ChannelError (permanent) for what is none."""
    if not media_type.replace(" ", "").startswith("application/stix+json"):
        raise ChannelError(
            f"TAXII carries STIX bundles, not {media_type}: write reporting.format: stix", permanent=True
        )
    try:
        objects = json.loads(payload)["objects"]
        if not objects or not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in objects):
            raise ValueError("an object without an id")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ChannelError(f"the bundle cannot be read: {error}", permanent=True) from error
    return list(objects)


def _carrier(objects: Sequence[StixObject]) -> StixObject:
    for kind in CARRIERS:
        if found := next((each for each in objects if each.get("type") == kind), None):
            return found
    return objects[0]
