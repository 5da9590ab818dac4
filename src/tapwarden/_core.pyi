"""The native core. Batches of events come out; packets never do. Long work releases the interpreter lock."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

__version__: str
HYPERSCAN: bool

@final
class RuleSet:
    """An immutable set of compiled rules, shared between engines.

    ``config`` is the engine configuration as JSON text (see docs/engine-config.md; its schema is
    native/core/src/config.rs). ``files`` are paths of rule files; data files (datasets, reputation lists,
    classification, reference, threshold) are named in the configuration or the rules, relative to ``base_dir``.
    Raises OSError when a rule file cannot be read, ValueError when the configuration is not valid.
    """

    def __new__(cls, config: str, files: Sequence[str], base_dir: str = ".") -> RuleSet: ...
    @property
    def loaded(self) -> int: ...
    @property
    def sids(self) -> list[int]:
        """The sids of the rules that were loaded, sorted."""
    @property
    def errors(self) -> list[tuple[str, int, int, int | None, str, str, str]]:
        """(file, line, column, sid, keyword, reason, hint), lines and columns 1-based."""
    @property
    def warnings(self) -> list[tuple[str, int, int, int | None, str, str, str]]: ...

@final
class IndicatorSet:
    """An immutable set of indicators. ``items`` are (type, value, source, info); types as in model.indicator."""

    def __new__(cls, items: Sequence[tuple[str, str, str, str]]) -> IndicatorSet: ...
    def __len__(self) -> int: ...

@final
class Batch:
    """Event records, complete JSON texts, in order."""

    def __len__(self) -> int: ...
    @property
    def raw(self) -> bytes:
        """All records, each ended by a newline: what eve.json holds."""
    def lines(self) -> list[bytes]: ...
    def kinds(self) -> dict[str, int]:
        """How many records of each ``event_type``."""

@final
class Documents:
    """Events as Elasticsearch documents: ECS fields, and the EVE record under ``suricata.eve``.

    ``records`` are EVE records (JSON texts), ``origins`` says where each came from. A document goes to the index that
    ``series`` names for its event type, else to ``other``. Without ``whole``, ``suricata.eve`` holds only type and
    flow. ``odd`` is called for a record that is written in a way the core does not read (a time unlike the engine's,
    lone surrogates) with its number, and gives time (microseconds since 1970), id and plain JSON text, or None for what
    is no record; the document of such a record keeps its text as well. Methods raise IndexError for a number that has
    no document.
    """

    def __new__(
        cls,
        records: Sequence[bytes],
        origins: Sequence[str],
        series: Mapping[str, str],
        other: str,
        odd: Callable[[int], tuple[int, str, bytes] | None],
        *,
        whole: bool = True,
    ) -> Documents: ...
    def __len__(self) -> int:
        """How many records there were."""
    @property
    def ids(self) -> list[str]:
        """The id of each, as ``model.event.Event`` has it; "" where there is no document."""
    @property
    def sizes(self) -> list[int]:
        """Octets of each document, 0 where there is none."""
    def groups(self, numbers: Sequence[int]) -> list[tuple[str, int, int, list[int]]]:
        """These documents by index: name, earliest and latest time (microseconds since 1970), numbers."""
    def document(self, number: int) -> bytes:
        """One document as JSON text."""
    def body(self, numbers: Sequence[int], *, gzip: bool = False) -> bytes:
        """The body of a bulk request that creates these documents (NDJSON), packed on request."""

@final
class CaptureFile:
    """A capture file: pcap (either endianness, micro- or nanoseconds) or pcapng, plain, gzip or zstd.

    Raises OSError when it cannot be opened, ValueError when it is no capture or its link type is not known.
    """

    def __new__(cls, path: str) -> CaptureFile: ...
    @property
    def size_octets(self) -> int: ...
    @property
    def position_octets(self) -> int: ...
    @property
    def problem(self) -> str:
        """Why reading stopped early ("" when it did not): truncated or corrupt at which octet."""

@final
class AfPacket:
    """A live AF_PACKET TPACKET_V3 ring. Raises OSError (PermissionError without CAP_NET_RAW, ENODEV, ...).

    ``filter`` is a classic BPF program as (code, jt, jf, k); empty takes everything.
    """

    def __new__(
        cls,
        interface: str,
        *,
        block_size: int = 1048576,
        blocks: int = 64,
        fanout_group: int = 0,
        promiscuous: bool = True,
        filter: Sequence[tuple[int, int, int, int]] = (),
    ) -> AfPacket: ...
    @property
    def kernel_packets(self) -> int: ...
    @property
    def kernel_drops(self) -> int: ...
    def close(self) -> None: ...

@final
class Engine:
    """Single-threaded: decode, defragment, track flows, reassemble, parse, match. Deterministic for the same input."""

    def __new__(cls, config: str, rules: RuleSet | None = None, indicators: IndicatorSet | None = None) -> Engine: ...
    def read(self, source: CaptureFile, max_packets: int = 10000) -> Batch | None:
        """Process the next packets of a file; None at its end (then call ``drain``)."""
    def poll(self, source: AfPacket, timeout_ms: int) -> Batch:
        """Process what a ring has, waiting at most ``timeout_ms`` for a packet. Raises OSError (interface gone)."""
    def feed(self, frames: Sequence[tuple[int, bytes]], linktype: int = 1) -> Batch:
        """Process raw frames, each (nanoseconds since 1970, octets)."""
    def tick(self, now_ns: int) -> Batch:
        """Let time pass without packets: expire flows, write what is due."""
    def drain(self) -> Batch:
        """End of input: finish all flows. The engine is empty afterwards."""
    def evidence(self) -> list[tuple[int, bool, list[tuple[int, int, int, bytes]]]]:
        """The packets of alerts that were finished since the last call, when ``evidence.ring`` is not 0.

        Each is (``flow_id``, 0 for a packet without a flow; whether there was more before than was kept; frames in
        order as (nanoseconds since 1970, length on the wire, link type, octets)).
        """
    def swap_rules(self, rules: RuleSet) -> None: ...
    def explain(self, sids: Sequence[int]) -> None:
        """Write down from now on why the rules with these sids match or do not, at each packet and transaction."""
    def explanations(self, *, all: bool = False) -> Batch:
        """What was written down since, a JSON object each; with ``all`` also of transactions that are still open.

        ``sid``, ``packet`` (number in the capture, 0 at a flow's end), ``timestamp``, ``src_ip`` ..., ``flow_id``,
        ``tx_id``, ``outcome`` (``match``, ``silent``, ``no``), ``stage``, ``condition``, ``reason``, ``octets``, and
        ``held``: conditions that held (``buffer``, ``condition``, ``start``, ``end``).
        """
    def counters(self) -> dict[str, int]:
        """Dotted names as in EVE stats (decoder.pkts, decoder.bytes, detect.alert, tcp.reassembly_gap, ...)."""

TALLIED_COLUMNS: Sequence[int]
"""Columns of a block that ``tally_blocks`` counts."""

class DamagedBlock(Exception):
    """A piece of a block that is not what was written."""

@final
class EventRecords:
    """EVE records on their way into the embedded store. ``items`` are (record, origin).

    What the core does not make sense of in a moment is ``doubtful``: somebody else reads it, and settles with the
    record as plain JSON and its time (microseconds since 1970), or None for what is no record.
    """

    def __new__(cls, items: Sequence[tuple[bytes, bytes]]) -> EventRecords: ...
    def doubtful(self) -> list[int]: ...
    def settle(self, at: int, plain: bytes | None, micros: int) -> None: ...
    def places(self) -> list[tuple[int, str, int]]:
        """Days since 1970 and types, and how many records there are of each."""
    def part(
        self, chosen: Sequence[tuple[int, str]], since_us: int, unit_us: int, numbers: Sequence[int] | None = None
    ) -> EventPart:
        """Those of these days and types, in the order of their numbers: steps of ``unit_us`` since ``since_us``, then
        26 bits of the event's id. The same record twice is there once. ``numbers``: those of records stored before."""

@final
class EventPart:
    """Records of one file, in the order of their numbers."""

    def __len__(self) -> int: ...
    def span(self) -> tuple[int, int] | None:
        """First and last number; None where there are no records."""
    def record(self, at: int) -> tuple[bytes, bytes] | None: ...
    def meet(self, numbers: bytes) -> list[tuple[int, int]]:
        """Records whose number is in a block's column of numbers: (place here, row there). Raises DamagedBlock."""
    def settle(self, known: Sequence[int], met: Sequence[int]) -> None:
        """Leave the first out, and give the others the next number."""
    def tell_apart(self) -> bool:
        """Give each number to one record, the next to others that have it; whether there were any."""
    def stretches(self, units: int) -> list[tuple[str, int, int]]:
        """(type, which stretch of so many units of time, how many records)."""
    def packed(self) -> list[tuple[int, int, int, list[tuple[int, bytes]]]]:
        """Blocks: (first number, last number, rows, pieces as (column, octets))."""

@final
class EventFilter:
    """A question to blocks: conditions as (name, values), all of which have to hold; names as in EventQuery."""

    def __new__(cls, conditions: Sequence[tuple[str, Sequence[str]]]) -> EventFilter: ...
    @property
    def columns(self) -> list[int]: ...
    @property
    def blooms(self) -> list[int]: ...
    def possible(self, pieces: Sequence[tuple[int, bytes]]) -> bool:
        """Whether a row can match, by the block's ``blooms``. Raises DamagedBlock."""
    def page(
        self,
        pieces: Sequence[tuple[int, bytes]],
        rows: int,
        span: tuple[int, int] | None,
        limit: int,
        newest: bool,
    ) -> list[tuple[int, int]]:
        """The newest or oldest matching rows of a block with so many: (number, row). ``span`` are the lowest number and
        the one behind the highest; the pieces are ``columns`` and the numbers. Raises DamagedBlock."""

@final
class EventSummary:
    """Counts over blocks: ``rows``, ``stretches`` of ``interval_us`` since 1970, ``values`` of a field, ``groups``."""

    def __new__(
        cls, counted: str, *, interval_us: int = 0, field: str = "", ascending: bool = False
    ) -> EventSummary: ...
    @property
    def columns(self) -> list[int]: ...
    @property
    def tallied(self) -> int | None:
        """The column whose tally will do in place of blocks."""
    def add(
        self,
        filter: EventFilter,
        pieces: Sequence[tuple[int, bytes]],
        rows: int,
        span: tuple[int, int] | None,
        since_us: int,
        unit_us: int,
    ) -> None:
        """Count a block's matching rows. Raises DamagedBlock, and then nothing of it is counted."""
    def stretch(self, first: int, last: int, since_us: int, unit_us: int) -> int | None:
        """The stretch that all rows between these numbers are in: where there is one, ``add_in`` will do."""
    def add_in(
        self,
        filter: EventFilter,
        pieces: Sequence[tuple[int, bytes]],
        rows: int,
        span: tuple[int, int] | None,
        stretch: int,
    ) -> None:
        """Count a block's matching rows, all of which are in this stretch: the filter's columns will do."""
    def add_tally(self, tally: bytes, kinds: Sequence[str]) -> None: ...
    @property
    def rows(self) -> int: ...
    def stretches(self) -> list[tuple[int, int]]: ...
    def values(self, limit: int) -> list[tuple[str, int]]: ...
    def groups(self, limit: int) -> list[tuple[int, str, str, str, int, int, int]]:
        """(sid, signature, source, destination, count, first and last time in microseconds since 1970)."""

@final
class EventHunt:
    """Indicators looked for in blocks: (type, value), types as in model.indicator; ``ip_port`` is the address, a space,
    the port. Raises ValueError for a value that is not what its type says."""

    COLUMNS: Sequence[int]
    def __new__(cls, indicators: Sequence[tuple[str, str]]) -> EventHunt: ...
    def search(
        self, pieces: Sequence[tuple[int, bytes]], span: tuple[int, int] | None
    ) -> list[tuple[int, int, int, int, list[int]]]:
        """(place of the indicator, rows, first number, last number, newest rows). Raises DamagedBlock."""

def tally_blocks(blocks: Sequence[Sequence[tuple[int, bytes]]]) -> list[tuple[int, bytes]]:
    """Counts of several blocks together, by column. Raises DamagedBlock."""

def join_tallies(tallies: Sequence[Sequence[tuple[int, bytes]]]) -> list[tuple[int, bytes]]:
    """Several tallies as one, by column. Raises DamagedBlock."""

def block_records(piece: bytes, rows: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """The records in these rows, ascending, and their origins. Raises DamagedBlock."""

def block_numbers(piece: bytes) -> list[int]:
    """The numbers of a block's rows, ascending. Raises DamagedBlock."""
