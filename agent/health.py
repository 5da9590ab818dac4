"""How each part fares, in one place: set by whoever runs the part, read by the dashboard, ``doctor`` and systemd."""

import threading
from collections.abc import Mapping
from typing import Any

STATES = ("ok", "degraded", "down", "off")


class Health:
    """Part name to state, a sentence for people, and counters. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, dict[str, Any]] = {}

    def set(self, part: str, state: str, detail: str = "", **counters: Any) -> bool:
        """Say how a part is; whether that is news (so that it is logged once, not at each look)."""
        if state not in STATES:
            raise ValueError(f"a state is one of {', '.join(STATES)}")
        with self._lock:
            before = self._parts.get(part, {})
            self._parts[part] = {"state": state, "detail": detail, **counters}
            return (before.get("state"), before.get("detail")) != (state, detail)

    def report(self) -> Mapping[str, Any]:
        """All parts, as the dashboard shows them."""
        with self._lock:
            return {name: dict(part) for name, part in sorted(self._parts.items())}

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be, a sentence each."""
        return tuple(
            f"{name}: {part['detail'] or part['state']}"
            for name, part in self.report().items()
            if part["state"] in {"degraded", "down"}
        )
