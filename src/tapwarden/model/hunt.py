"""Retro-hunt: looking for new indicators in what is already stored."""

from dataclasses import dataclass
from datetime import datetime

from tapwarden.model.event import Event
from tapwarden.model.indicator import Indicator


@dataclass(frozen=True, slots=True)
class HuntMatch:
    """What one indicator was found in: how many events, when, and the newest few of them."""

    indicator: Indicator
    count: int
    first: datetime
    last: datetime
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From ``start`` (inclusive) to ``end`` (exclusive), UTC; None: without a bound on this side.

    Both None: events whose time cannot be believed, which a store keeps apart from those of any day.
    """

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class HuntResult:
    """The answer of a hunt, most recent match first, and what it did not look at.

    ``unsearched`` are spans of time for which the budget did not suffice, newest first; matches seen in them before
    time was up are in ``matches``, with counts that are too low. ``unsupported`` are indicators that cannot be looked
    for: values that are not what their type says.
    """

    matches: tuple[HuntMatch, ...]
    unsearched: tuple[TimeSpan, ...] = ()
    unsupported: tuple[Indicator, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every indicator was looked for in all of the time asked about."""
        return not self.unsearched and not self.unsupported
