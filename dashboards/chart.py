"""Histograms as SVG, computed here: bars, a time axis and a peak.

A charting library would bring megabytes of script that writes style attributes our content policy forbids; two dozen
rectangles with titles and links need none, print, and work with scripts off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tapwarden.dashboards.display import number, utc
from tapwarden.model.event import Bucket

WIDTH, HEIGHT, BASE = 960, 120, 100
STEPS_S = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400)


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle in user units, with what a pointer or a screen reader is told and where a click leads."""

    x: float
    y: float
    width: float
    height: float
    title: str
    href: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label under the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A histogram ready to draw in a ``WIDTH`` x ``HEIGHT`` view box."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    peak: int
    total: int
    interval_s: int
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE


def interval_for(since: datetime, until: datetime, *, bars: int = 60) -> int:
    """The smallest round step (seconds) that covers the range with at most ``bars`` bars."""
    span = max(1.0, (until - since).total_seconds())
    return next((step for step in STEPS_S if span / step <= bars), STEPS_S[-1])


def histogram(
    buckets: Sequence[Bucket],
    *,
    since: datetime,
    until: datetime,
    interval_s: int,
    link: Callable[[datetime, datetime], str],
) -> Chart:
    """Place the buckets on the axis since..until; empty ones are left out. ``link`` gives a bar's target here."""
    span = max(1.0, (until - since).total_seconds())
    width = max(1.5, WIDTH * interval_s / span - 2)
    peak = max((bucket.count for bucket in buckets), default=0)
    step = timedelta(seconds=interval_s)
    bars = []
    for bucket in buckets:
        if not bucket.count or not since - step < bucket.start < until:
            continue
        height = max(2.0, (BASE - 14) * bucket.count / peak)
        x = WIDTH * (bucket.start - since).total_seconds() / span
        left, right = max(0.0, x), min(float(WIDTH), x + width)
        title = f"{utc(bucket.start)} to {utc(bucket.start + step)}: {number(bucket.count)}"
        place = (round(left, 1), round(BASE - height, 1), round(max(1.0, right - left), 1), round(height, 1))
        bars.append(Bar(*place, title, link(bucket.start, bucket.start + step)))
    return Chart(tuple(bars), _ticks(since, span), peak, sum(bucket.count for bucket in buckets), interval_s)


def _ticks(since: datetime, span: float) -> tuple[Tick, ...]:
    form = "%H:%M" if span <= 2 * 86400 else "%m-%d"
    round_s = next((step for step in STEPS_S if span / step <= 9), STEPS_S[-1])
    first = round_s - since.timestamp() % round_s
    marks = []
    offset = first
    while offset < span:
        text = datetime.fromtimestamp(since.timestamp() + offset, UTC).strftime(form)
        marks.append(Tick(round(WIDTH * offset / span, 1), text))
        offset += round_s
    return tuple(marks)
