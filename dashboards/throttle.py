"""How often a log-in may fail: per name and address, and per address. Bounded; a restart forgets."""

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from tapwarden.model.ports import Clock


class LoginThrottle:
    """Counts attempts before the password is looked at, so that parallel guesses cannot outrun it.

    One name is only locked for the address that guesses it: a stranger cannot lock an analyst out.
    """

    def __init__(self, clock: Clock, *, per_name: int, per_address: int, window_s: int, limit: int = 4096) -> None:
        self._clock, self._window = clock, timedelta(seconds=window_s)
        self._per_name, self._per_address, self._limit = per_name, per_address, limit
        self._lock = threading.Lock()
        self._attempts: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()
        self.refused = 0

    def charge(self, name: str, address: str) -> float:
        """Count an attempt; returns 0, or the seconds to wait when it is one too many (then it is not counted)."""
        now = self._clock.now()
        with self._lock:
            keys = (((name, address), self._per_name), (("", address), self._per_address))
            waits = [self._wait(key, allowed, now) for key, allowed in keys]
            if max(waits) > 0:
                self.refused += 1
                return max(waits)
            for key, _ in keys:
                self._attempts.setdefault(key, deque()).append(now)
                self._attempts.move_to_end(key)
            while len(self._attempts) > self._limit:
                self._attempts.popitem(last=False)
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """A right password clears the name's count and gives the address its attempt back."""
        with self._lock:
            self._attempts.pop((name, address), None)
            attempts = self._attempts.get(("", address))
            if attempts:
                attempts.pop()

    def _wait(self, key: tuple[str, str], allowed: int, now: datetime) -> float:
        attempts = self._attempts.get(key)
        if attempts is None:
            return 0.0
        while attempts and now - attempts[0] >= self._window:
            attempts.popleft()
        if len(attempts) < allowed:
            return 0.0
        return (attempts[0] + self._window - now).total_seconds()
