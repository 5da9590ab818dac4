"""Who is logged in: a bounded table in memory. A restart logs everybody out, and nothing on disk can be stolen."""

import base64
import hashlib
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tapwarden.dashboards.accounts import Rng
from tapwarden.model.incident import GroupState, Verdict
from tapwarden.model.ports import Clock


@dataclass(frozen=True, slots=True)
class TriageStep:
    """What one group was before and after a triage, so that it can be undone unless somebody changed it since."""

    group_id: str
    before: tuple[GroupState, Verdict]
    after: tuple[GroupState, Verdict]


@dataclass(slots=True)
class Session:
    """One log-in. ``csrf`` has to come with every POST; ``notices`` are shown once; ``undo`` is the newest last."""

    user: str
    csrf: str
    opened_at: datetime
    seen_at: datetime
    notices: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=4))
    undo: deque[tuple[TriageStep, ...]] = field(default_factory=lambda: deque(maxlen=20))


def new_token(rng: Rng) -> str:
    """256 unpredictable bits, URL-safe."""
    return base64.urlsafe_b64encode(rng(32)).decode().rstrip("=")


class SessionTable:
    """Sessions by the hash of their token, so that a memory dump does not contain usable cookies."""

    def __init__(self, clock: Clock, rng: Rng, *, idle_s: int, lifetime_s: int, limit: int, per_user: int) -> None:
        self._clock, self._rng = clock, rng
        self._idle, self._lifetime = timedelta(seconds=idle_s), timedelta(seconds=lifetime_s)
        self._limit, self._per_user = limit, per_user
        self._lock = threading.Lock()
        self._by_key: dict[str, Session] = {}
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def open(self, user: str) -> str:
        """Log a user in; returns the cookie's value. The least recently used session makes room when there is none."""
        token, now = new_token(self._rng), self._clock.now()
        with self._lock:
            self._expire(now)
            own = [key for key, session in self._by_key.items() if session.user == user]
            if len(own) >= self._per_user:
                self._evict(own)
            elif len(self._by_key) >= self._limit:
                self._evict(list(self._by_key))
            self._by_key[_key(token)] = Session(user, new_token(self._rng), opened_at=now, seen_at=now)
        return token

    def find(self, token: str, *, touch: bool = True) -> Session | None:
        """The session of a cookie. ``touch`` is False for what a page does by itself: polling is not being present."""
        now = self._clock.now()
        with self._lock:
            session = self._by_key.get(_key(token))
            if session is None:
                return None
            if self._over(session, now):
                del self._by_key[_key(token)]
                return None
            if touch:
                session.seen_at = now
            return session

    def close(self, token: str) -> None:
        with self._lock:
            self._by_key.pop(_key(token), None)

    def close_user(self, user: str, *, keep: Session | None = None) -> int:
        """End a user's sessions (disabled, new role, new password); returns how many."""
        with self._lock:
            ended = [key for key, session in self._by_key.items() if session.user == user and session is not keep]
            for key in ended:
                del self._by_key[key]
        return len(ended)

    def _over(self, session: Session, now: datetime) -> bool:
        return now - session.seen_at >= self._idle or now - session.opened_at >= self._lifetime

    def _expire(self, now: datetime) -> None:
        for key in [key for key, session in self._by_key.items() if self._over(session, now)]:
            del self._by_key[key]

    def _evict(self, keys: list[str]) -> None:
        del self._by_key[min(keys, key=lambda key: self._by_key[key].seen_at)]
        self.evicted += 1


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
