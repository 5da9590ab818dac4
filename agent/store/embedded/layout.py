"""The files' layout: which file an event is in, the number it has there, and the tables.

A number (``seq``) is the row's key: microseconds since the day's beginning (37 bits), then 26 bits of the event's id.
Rows are therefore kept in the order of time, finding an event by id or by time needs no index, and storing one twice
stores it once. Two events with one number are told apart by their ids; the second takes the next number.

Events whose time cannot be believed, or that would open one file too many, are kept in one file named ``undated``,
with seconds since 1970 in place of microseconds.
"""

from datetime import UTC, date, datetime, timedelta

from tapwarden.agent.store.classes import EventClass
from tapwarden.model.event import Event

FORMAT = 3
"""``user_version`` of the files this module writes and reads."""

HASH_BITS = 26
HASH_MASK = (1 << HASH_BITS) - 1
TIME_MAX = (1 << 37) - 1

UNDATED = "undated"
EARLIEST = date(1990, 1, 1)
"""No capture is older than the first capture format; a time before it is a clock that was never set."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

TABLES = """
CREATE TABLE block (id INTEGER PRIMARY KEY, codec INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE address (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    src INTEGER,
    dest INTEGER,
    src_port INTEGER,
    dest_port INTEGER,
    sid INTEGER,
    signature INTEGER,
    app_proto INTEGER,
    sensor INTEGER,
    flow_id INTEGER,
    community_id INTEGER
);
CREATE INDEX event_src ON event (src) WHERE src IS NOT NULL;
CREATE INDEX event_dest ON event (dest) WHERE dest IS NOT NULL;
CREATE INDEX event_sid ON event (sid) WHERE sid IS NOT NULL;
CREATE INDEX event_signature ON event (signature) WHERE signature IS NOT NULL;
CREATE INDEX event_flow ON event (seq >> 58, flow_id) WHERE flow_id IS NOT NULL;
CREATE INDEX event_community ON event (seq >> 58, community_id) WHERE community_id IS NOT NULL;
CREATE TABLE name (id INTEGER PRIMARY KEY, field INTEGER NOT NULL, value TEXT NOT NULL, UNIQUE (field, value));
CREATE TABLE term (name INTEGER NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (name, event)) WITHOUT ROWID;
CREATE TABLE print (value INTEGER NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (value, event)) WITHOUT ROWID;
CREATE TABLE minute (
    kind INTEGER NOT NULL, minute INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (kind, minute)
) WITHOUT ROWID;
CREATE TABLE hourly (
    field INTEGER NOT NULL, value INTEGER NOT NULL, kind INTEGER NOT NULL, hour INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (field, value, kind, hour)
) WITHOUT ROWID;
CREATE TABLE tally (events INTEGER NOT NULL);
INSERT INTO tally VALUES (0);
"""


STRETCHES = f"seq >> 58 IN ({','.join(map(str, range(32)))})"
"""The condition that leads to the indexes of numbers that come in no order (flows, Community IDs): they are kept by
stretches of 71 minutes, so that what is inserted into fits into memory however large the day becomes."""

KIND_INDEX = "CREATE INDEX event_kind ON event (kind)"


def tables(partition: str) -> list[str]:
    """The statements that make a partition's tables. Alerts and DNS are of one type each, or nearly."""
    statements = [statement for statement in TABLES.split(";\n") if statement.strip()]
    one = class_part(partition)
    return statements if one in {EventClass.ALERT, EventClass.DNS} else [*statements, KIND_INDEX]


def day_of(event: Event) -> date:
    """The UTC day of the event's time."""
    return event.timestamp.date()


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


def number_of(event: Event, beginning: datetime, unit_us: int) -> int:
    """The number the event has in a partition with this beginning and unit, unless another one has it."""
    since = event.timestamp - beginning
    elapsed = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) // unit_us
    return (min(max(elapsed, 0), TIME_MAX) << HASH_BITS) | (int(event.id[-7:], 16) & HASH_MASK)


def following(number: int) -> int:
    """The number to try when another event has this one: the same time."""
    return (number & ~HASH_MASK) | ((number + 1) & HASH_MASK)


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
