"""Blocks for those who pull them: in effect once somebody has."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import uvicorn

from tapwarden.mitigation.bouncer.access import Keys
from tapwarden.mitigation.bouncer.app import make_app
from tapwarden.mitigation.bouncer.listing import Listing
from tapwarden.mitigation.database import folder_for
from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.target import normalise
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

log = logging.getLogger(__name__)

SILENCE_S = 600.0
"""A puller that was not heard of for so long is not believed to have in effect what it got."""


class Bouncer:
    """Serves what is blocked to pullers with an API key, over HTTP or (``certificate``, ``key``: PEM files) HTTPS.

    Nothing is served until ``start``. An entry is effective while some puller that asks regularly has got it.
    """

    name = "bouncer"
    measures = frozenset({Measure.BLOCK})
    target_types = frozenset(TargetType) - {TargetType.CONNECTION}

    def __init__(
        self,
        *,
        folder: Path,
        keys: Mapping[str, str],
        listen: str = "127.0.0.1",
        port: int = 8689,
        certificate: Path | None = None,
        key: Path | None = None,
        netns: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._listing = Listing(folder_for(folder) / "bouncer.db")
        self._keys, self._clock, self._netns = Keys(keys), clock, netns
        self._listen, self.port, self._tls = listen, port, (certificate, key)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Answer pullers in a thread of its own. Raises MitigationError."""
        family = socket.AF_INET6 if ":" in self._listen else socket.AF_INET
        try:
            opened = inside(self._netns, lambda: socket.create_server((self._listen, self.port), family=family))
        except OSError as problem:
            where = f"{self._listen} port {self.port}"
            raise MitigationError(f"bouncers cannot be served on {where}: {problem.strerror}") from problem
        self._socket, self.port = opened, opened.getsockname()[1]
        certificate, key = self._tls
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(self._listing, self._keys, self._clock),
                ssl_certfile=certificate,
                ssl_keyfile=key,
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=100,
                timeout_keep_alive=30,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([opened],), name="bouncer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more; what was pulled stays with the pullers until it expires."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
        if self._socket is not None:
            self._socket.close()

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """List all targets at once; applying again renews the expiry."""
        ends: dict[Target, tuple[float, str]] = {}
        for action in actions:
            if action.dry_run:
                raise ValueError(f"action {action.id} is a dry run")
            if action.measure not in self.measures:
                raise ValueError(f"{self.name} cannot {action.measure} a {action.target.type}")
            seconds = (action.expires_at - now).total_seconds()
            target = normalise(action.target)
            if seconds > 0 and ends.get(target, (0.0, ""))[0] < self._clock() + seconds:
                ends[target] = (self._clock() + seconds, f"tapwarden/{action.incident_id}")
        self._listing.put((target, *end) for target, end in ends.items())

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Tell the pullers, next time they ask, to let the targets pass; what is not listed is not an error."""
        self._listing.remove(normalise(action.target) for action in actions)

    def list(self) -> Sequence[Installed]:
        """What is listed; ``effective`` where a puller heard of in the last ten minutes has it."""
        now = self._clock()
        self._listing.expire(now)
        reached = max(self._listing.positions(now - SILENCE_S).values(), default=0)
        return [
            Installed(one.target, Measure.BLOCK, expires_in_s=one.ends_at - now, effective=one.id <= reached)
            for one in self._listing.all()
        ]

    def clear(self) -> None:
        """List nothing any more."""
        self._listing.clear()
