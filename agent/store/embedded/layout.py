"""The files' layout: which file an event is in, the number it has there, and the tables.

An event's number is microseconds since the day's beginning (37 bits), then 26 bits of its id. Events are kept in the
order of their numbers, in blocks of up to some thousand that each say their first and last: finding an event by id or
by time needs no index, and storing one twice stores it once. Two events with one number are told apart by what they
are; the second takes the next number. What a block is made of is the core's business (native/core/src/column).

Events whose time cannot be believed, or that would open one file too many, are kept in one file named ``undated``,
with seconds since 1970 in place of microseconds.
"""

from datetime import UTC, date, datetime, timedelta
from enum import IntEnum

from tapwarden.agent.store.classes import EventClass

FORMAT = 4
"""``user_version`` of the files this module writes and reads."""

HASH_BITS = 26
HASH_MASK = (1 << HASH_BITS) - 1
TIME_MAX = (1 << 37) - 1
NUMBER_END = 1 << 63
"""Behind the highest number."""

UNDATED = "undated"
EARLIEST = date(1990, 1, 1)
"""No capture is older than the first capture format; a time before it is a clock that was never set."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

TABLES = """
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    run INTEGER
);
CREATE TABLE piece (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE run (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE tally (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE kind (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE minute (
    kind INTEGER NOT NULL, minute INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, minute)
) WITHOUT ROWID;
"""
"""``block``: first and last number, events, the run whose tally counts it. ``piece``: a column of a block, by
``block.id * COLUMNS + column``. ``run``, ``tally``: the same of the counts of many blocks together. ``minute``: events
by type and minute."""

COLUMNS = 32


class Column(IntEnum):
    """Columns of a block, as in the core (native/core/src/column/mod.rs)."""

    NUMBER = 0
    RECORD = 12


def tables() -> list[str]:
    """The statements that make a partition's tables."""
    return [statement for statement in TABLES.split(";\n") if statement.strip()]


def name_of(day: date, one: EventClass) -> str:
    """The partition of a day's events of this class."""
    return f"{day.isoformat()}.{one.name.lower()}"


def day_part(partition: str) -> str:
    """The day of a partition, or ``undated``: what pages and cursors go by."""
    return partition.partition(".")[0]


def class_part(partition: str) -> EventClass | None:
    """The class of a partition's events; None for the undated file, which has all. Raises ValueError."""
    if partition == UNDATED:
        return None
    try:
        return EventClass[partition.partition(".")[2].upper()]
    except KeyError as error:
        raise ValueError(f"{partition!r} names no class") from error


def beginning(partition: str) -> datetime:
    """The time that the partition's numbers count from."""
    if partition == UNDATED:
        return _EPOCH
    day = date.fromisoformat(day_part(partition))
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def time_of(number: int, partition: str) -> datetime:
    """The time of the event with this number; to the second in the undated partition."""
    elapsed = number >> HASH_BITS
    if partition != UNDATED:
        return beginning(partition) + elapsed * _MICROSECOND
    return _EPOCH + timedelta(seconds=min(elapsed, 253402300799))


def since_us(partition: str) -> int:
    """The beginning in microseconds since 1970."""
    return (beginning(partition) - _EPOCH) // _MICROSECOND


def day_number(number: int) -> date:
    """The day that is so many days after 1970-01-01. Raises OverflowError."""
    return _EPOCH.date() + timedelta(days=number)


def span(since: datetime | None, until: datetime | None, partition: str) -> tuple[int, int]:
    """The lowest number of this time span and the one behind its highest."""
    first = 0 if since is None else max(first_number(since, partition), 0)
    end = NUMBER_END if until is None else min(first_number(until, partition), NUMBER_END)
    return first, end


def first_number(moment: datetime, partition: str) -> int:
    """The lowest number an event at this time or later has in the partition; may be beyond all or negative."""
    elapsed = (moment - beginning(partition)) // _MICROSECOND
    if partition == UNDATED:
        elapsed = -(-elapsed // 1_000_000)
    return min(elapsed, TIME_MAX + 1) << HASH_BITS


def unit_us(partition: str) -> int:
    """Microseconds of one step of the partition's times."""
    return 1_000_000 if partition == UNDATED else 1


def order(days: set[str]) -> list[str]:
    """Newest day first, undated last: the order of paging."""
    return sorted(days - {UNDATED}, reverse=True) + sorted(days & {UNDATED})
