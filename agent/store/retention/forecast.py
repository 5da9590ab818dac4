"""For how many days the room will do, by what came in the last days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tapwarden.agent.store.retention.holding import Holding, Kept
from tapwarden.agent.store.retention.limits import Limits

WINDOW_DAYS = 7
"""Whole days looked at: a week has its workdays and its weekend."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One kind: octets a day lately, days it is to be kept, days there will be room for (at most those)."""

    octets_a_day: float
    wanted_days: float
    days: float

    @property
    def enough(self) -> bool:
        """Whether there is room for as long as wanted."""
        return self.days >= self.wanted_days - 0.5


def forecast(
    holdings: Sequence[Holding], limits: Limits, *, now: datetime, free_octets: int
) -> Mapping[Kept, Forecast]:
    """By kind, of those that had a whole day yet. The most valuable get their room first, as they are given up last."""
    used = sum(one.octets for one in holdings)
    room = float(used + max(0, free_octets - limits.min_free_octets))
    if limits.max_octets is not None:
        room = min(room, limits.max_octets)
    room -= sum(one.octets for one in holdings if one.fixed)
    found = {}
    for kept in sorted(limits.ages, reverse=True):
        a_day = _a_day([one for one in holdings if one.kept is kept], now.date())
        if a_day is None:
            continue
        wanted = limits.ages[kept] / timedelta(days=1)
        days = min(wanted, max(room, 0.0) / a_day) if a_day else wanted
        room -= a_day * days
        found[kept] = Forecast(a_day, wanted, days)
    return found


def _a_day(holdings: Sequence[Holding], today: date) -> float | None:
    """Octets a day over the last whole days from the first that has any; None when none has."""
    recent = [one for one in holdings if one.day and today - timedelta(days=WINDOW_DAYS) <= one.day < today]
    if not recent:
        return None
    days = (today - min(one.day for one in recent if one.day)).days
    return sum(one.octets for one in recent) / days
