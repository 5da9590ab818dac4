"""Writing to one partition: one transaction an append, dictionaries kept in memory."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import zstandard

from tapwarden.agent.store import block
from tapwarden.agent.store.embedded import layout
from tapwarden.agent.store.embedded.columns import NAMES, WORD_MAX, Columns, Term, address_key, print_key, word
from tapwarden.agent.store.embedded.files import BUSY_TIMEOUT_S, UnknownFormat
from tapwarden.agent.store.embedded.rollup import Rollup
from tapwarden.model.event import Event

DICTIONARY_MAX = 200_000
"""Entries of each dictionary kept in memory (about 20 MB); beyond it, it is forgotten and looked up again."""

Row = tuple[Event, Columns]


class Writer:
    """The one writing connection to a partition. Methods raise sqlite3.Error, and then nothing of theirs is stored."""

    def __init__(self, path: Path, partition: str) -> None:
        self.partition = partition
        self._log = Path(f"{path}-wal")
        self._unflushed = False
        self.identity: int | None = None
        """Of the file written to, set by the owner: to notice when the name stands for another file."""
        self._since, self._unit_us = layout.beginning(partition), layout.unit_us(partition)
        self._words: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._names: dict[tuple[int, str], int] = {}
        self._compressor = zstandard.ZstdCompressor(level=block.LEVEL, write_checksum=True)
        self._connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA page_size=4096")  # records of one block fill three or four: little of the last is lost
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut at most the last moments
        run("PRAGMA cache_size=-32768")
        run("PRAGMA wal_autocheckpoint=2000")
        run("BEGIN IMMEDIATE")
        try:
            version = run("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in layout.tables(self.partition):
                    run(statement)
                run(f"PRAGMA user_version={layout.FORMAT}")
            elif version != layout.FORMAT:
                raise UnknownFormat(f"{self.partition} has format {version}, this version writes {layout.FORMAT}")
            run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def close(self) -> None:
        """Write the log back into the file and let go of it."""
        with suppress(OSError):  # while others read, closing leaves the log as it is
            self.flush()
        self._connection.close()

    def flush(self) -> None:
        """Force the log to the disk, unless nothing was added since. Raises OSError."""
        if self._unflushed:
            descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._unflushed = False

    def append(self, rows: Sequence[Row]) -> int:
        """Store those rows that are not there yet; how many they were."""
        numbered = self._numbered_blindly(rows)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if numbered is None or not self._insert(numbered):
                # some are there already, which is rare (a batch delivered again): look at each
                self._roll_back()
                self._connection.execute("BEGIN IMMEDIATE")
                numbered = self._numbered_new(rows)
                self._insert(numbered)
            self._connection.execute("UPDATE tally SET events = events + ?", (len(numbered),))
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._unflushed = True
        return len(numbered)

    def _roll_back(self) -> None:
        self._names.clear()
        self._words.clear()  # what the transaction added to the dictionaries is gone
        self._addresses.clear()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _numbered_blindly(self, rows: Sequence[Row]) -> list[tuple[int, Row]] | None:
        since, unit_us = self._since, self._unit_us
        numbered = [(layout.number_of(row[0], since, unit_us), row) for row in rows]
        numbered.sort(key=_first)  # into the tables in their order
        if len({number for number, _ in numbered}) != len(numbered):
            return None
        return numbered

    def _numbered_new(self, rows: Sequence[Row]) -> list[tuple[int, Row]]:
        taken: dict[int, str] = {}
        numbered = []
        for row in rows:
            event = row[0]
            number = layout.number_of(event, self._since, self._unit_us)
            while (holder := taken.get(number) or self._stored_id(number)) not in (None, event.id):
                number = layout.following(number)
            if holder is None:
                taken[number] = event.id
                numbered.append((number, row))
        numbered.sort(key=_first)
        return numbered

    def _stored_id(self, number: int) -> str | None:
        statement = "SELECT codec, data, slot FROM event JOIN block ON block.id = event.block WHERE seq = ?"
        row = self._connection.execute(statement, (number,)).fetchone()
        if row is None:
            return None
        try:
            return block.Records(row[1], row[0]).event(row[2]).id
        except block.BlockError:
            return "damaged"

    def _insert(self, numbered: Sequence[tuple[int, Row]]) -> bool:
        run, many = self._connection.execute, self._connection.executemany
        words, addresses = self._words, self._addresses
        records: list[tuple[int | None, ...]] = []
        terms: list[tuple[int, int]] = []
        prints: list[tuple[int, int]] = []
        rollup = Rollup(self._unit_us)
        for start in range(0, len(numbered), block.RECORDS_MAX):
            part = numbered[start : start + block.RECORDS_MAX]
            data = block.pack([row[0] for _, row in part], self._compressor)
            block_id = run("INSERT INTO block (codec, data) VALUES (?, ?)", (block.CODEC_ZSTD, data)).lastrowid
            for slot, (number, (_, columns)) in enumerate(part):
                kind, src, dest, src_port, dest_port, sid, signature, app, sensor, flow, community, found = columns
                record = (
                    number,
                    block_id,
                    slot,
                    words.get(kind) or self._word(kind),
                    None if src is None else addresses.get(src) or self._address(src),
                    None if dest is None else addresses.get(dest) or self._address(dest),
                    src_port,
                    dest_port,
                    sid,
                    None if signature is None else words.get(signature) or self._word(signature),
                    None if app is None else words.get(app) or self._word(app),
                    None if sensor is None else words.get(sensor) or self._word(sensor),
                    flow,
                    community,
                )
                records.append(record)
                for field, value in found:
                    if field in NAMES:
                        name = self._names.get((field, value)) or self._name(field, value)
                        terms.append((name, number))
                        if field == Term.DOMAIN:
                            rollup.domains.append((record[3], name, number))
                    else:
                        prints.append((print_key(field, value), number))
        inserted = many("INSERT OR IGNORE INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", records).rowcount
        if inserted != len(records):
            return False
        terms.sort()
        many("INSERT INTO term VALUES (?,?)", terms)
        prints.sort()
        many("INSERT OR IGNORE INTO print VALUES (?,?)", prints)
        rollup.add(records)
        rollup.write(self._connection)
        return True

    def _name(self, field: int, value: str) -> int:
        run, key = self._connection.execute, (field, value)
        added = run("INSERT INTO name (field, value) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
        number = added.lastrowid if added.rowcount == 1 else None
        if number is None:
            (number,) = run("SELECT id FROM name WHERE field = ? AND value = ?", key).fetchone()
        if len(self._names) >= DICTIONARY_MAX:
            self._names.clear()
        self._names[key] = int(number)
        return int(number)

    def _word(self, text: str) -> int:
        run = self._connection.execute
        stored = word(text) or ""
        row = run("SELECT id FROM word WHERE text = ?", (stored,)).fetchone()
        number = row[0] if row else run("INSERT INTO word (text) VALUES (?)", (stored,)).lastrowid
        return _remember(self._words, text, number)

    def _address(self, text: str) -> int:
        run = self._connection.execute
        key = address_key(text)
        # most of those not in memory are new: try that first
        added = run("INSERT INTO address (key) VALUES (?) ON CONFLICT DO NOTHING", (key,))
        if added.rowcount == 1:
            return _remember(self._addresses, text, added.lastrowid)
        (number,) = run("SELECT id FROM address WHERE key = ?", (key,)).fetchone()
        return _remember(self._addresses, text, number)


def _first(pair: tuple[int, Row]) -> int:
    return pair[0]


def _remember(dictionary: dict[str, int], text: str, number: int | None) -> int:
    if number is None:  # pragma: no cover - sqlite3 gives a number for every INSERT
        raise sqlite3.InternalError("no row number")
    if len(text) <= WORD_MAX:
        if len(dictionary) >= DICTIONARY_MAX:
            dictionary.clear()
        dictionary[text] = number
    return number
