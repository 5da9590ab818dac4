"""Sightings to a MISP: ``POST /sightings/add``, one at a time (MISP automation, "Sightings")."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tapwarden.agent.coordinate.taxii import Status
from tapwarden.agent.coordinate.taxii_push import Pushed
from tapwarden.agent.coordinate.transport import ChannelSettings, bounded, connect, shown
from tapwarden.model.errors import ChannelError

ANSWER_MAX_OCTETS = 256 * 1024
CONTENT = frozenset({400, 404, 405, 422})
"""MISP answers 404 or 403 with a message for a value it does not know; that is about the content."""


class MispSightings:
    """One MISP. Raises ConfigError for settings that cannot work; ``token`` of the settings is the automation key."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._url = settings.url.rstrip("/") + "/sightings/add"
        self._key = settings.token
        self._http = connect(settings, "application/json")

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def push(self, objects: Sequence[Mapping[str, Any]]) -> Pushed:
        """Post messages' documents (``id``, ``sighting``). Raises ChannelError when the MISP is away."""
        accepted, failed, raw = set[str](), dict[str, str](), ""
        headers = {
            "Authorization": self._key,
            "Content-Type": "application/json",
        }  # MISP takes the key without a scheme
        for each in objects:
            name = str(each["id"])
            content = json.dumps(each["sighting"]).encode()
            try:
                with self._http.stream("POST", self._url, content=content, headers=headers) as response:
                    answer = bounded(response, ANSWER_MAX_OCTETS)
            except httpx.HTTPError as error:
                raise ChannelError(f"{type(error).__name__}: {error}") from error
            if response.status_code == 200:
                accepted.add(name)
                raw = shown(answer)
            elif response.status_code in CONTENT:
                failed[name] = f"answered {response.status_code}: {shown(answer)}"
            else:
                raise ChannelError(f"answered {response.status_code}: {shown(answer)}")
        status = Status(str(uuid.uuid4()), True, frozenset(accepted), failed, "", raw)
        return Pushed(frozenset(accepted), failed, [status])
