"""The messages of notices, on disk: to whom, how often tried, taken or refused by whom, answered with what."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tapwarden.mitigation.database import folder_for, transaction

KEPT_S = 400 * 86400.0
"""Messages older than this are forgotten; what they said is in the audit trail."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY, action TEXT NOT NULL, incident TEXT NOT NULL, recipient TEXT NOT NULL, type TEXT NOT NULL,
    value TEXT NOT NULL, reason TEXT NOT NULL, answers TEXT NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL,
    until REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL DEFAULT 0,
    said TEXT NOT NULL DEFAULT '', done_at REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS message_state ON message (state, next_at);
CREATE INDEX IF NOT EXISTS message_action ON message (action);
"""


class MessageState(StrEnum):
    """Where a message is."""

    WAITING = "waiting"
    TAKEN = "taken"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Message:
    """One message; times in seconds since 1970. ``said``: the receiver's last words, or the answer.

    ``answers`` is the id of the notice that this one takes back, "" for a notice.
    """

    id: str
    action: str
    incident: str
    recipient: str
    type: str
    value: str
    reason: str
    answers: str
    state: MessageState
    created_at: float
    until: float
    attempts: int = 0
    next_at: float = 0.0
    said: str = ""
    done_at: float = 0.0


def message_id(action: str, recipient: str, *, withdrawal: bool = False) -> str:
    """The same for the same notice to the same recipient, so that it is sent once: 24 hex digits."""
    text = "\0".join((action, recipient, "withdrawal" if withdrawal else "notice"))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()


class Messages:
    """The messages in one file, which several processes use. Raises MitigationError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder_for(folder) / "messages.db"
        with self._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)

    def add(self, messages: Sequence[Message]) -> None:
        """Queue those that were never queued before."""
        with self._transaction() as db:
            for one in messages:
                values = tuple(getattr(one, name) for name in Message.__slots__)
                marks = ", ".join("?" * len(values))
                db.execute(f"INSERT OR IGNORE INTO message ({', '.join(Message.__slots__)}) VALUES ({marks})", values)

    def due(self, now: float, *, most: int) -> list[Message]:
        """Waiting ones whose time has come, the oldest first."""
        where = "WHERE state = 'waiting' AND next_at <= ? ORDER BY created_at, id LIMIT ?"
        return self._find(where, now, most)

    def of(self, actions: Sequence[str]) -> dict[str, list[Message]]:
        """The notices (not the withdrawals) of each action."""
        found: dict[str, list[Message]] = {action: [] for action in actions}
        for action in actions:
            found[action] = self._find("WHERE action = ? AND answers = '' ORDER BY recipient", action)
        return found

    def one(self, id_: str) -> Message | None:
        """A message, or None."""
        return next(iter(self._find("WHERE id = ?", id_)), None)

    def taken_since(self, since: float) -> int:
        """How many were handed over since then."""
        with self._transaction(write=False) as db:
            where = "state IN ('taken', 'answered') AND done_at > ?"
            return int(db.execute(f"SELECT count(*) FROM message WHERE {where}", (since,)).fetchone()[0])

    def settle(self, id_: str, state: MessageState, said: str, at: float) -> None:
        """It was taken, refused or answered."""
        with self._transaction() as db:
            db.execute("UPDATE message SET state = ?, said = ?, done_at = ? WHERE id = ?", (state, said, at, id_))

    def postpone(self, id_: str, said: str, next_at: float) -> None:
        """It could not be handed over now; tried again then."""
        with self._transaction() as db:
            db.execute(
                "UPDATE message SET attempts = attempts + 1, said = ?, next_at = ? WHERE id = ? AND state = 'waiting'",
                (said, next_at, id_),
            )

    def cancel(self, action: str) -> list[Message]:
        """What waits of an action is not sent any more; the notices of it that somebody has got."""
        with self._transaction() as db:
            db.execute("UPDATE message SET state = 'cancelled' WHERE action = ? AND state = 'waiting'", (action,))
        return self._find("WHERE action = ? AND answers = '' AND state IN ('taken', 'answered')", action)

    def again(self, action: str) -> None:
        """What was cancelled before it was sent waits again: the notice is wanted once more."""
        with self._transaction() as db:
            db.execute(
                "UPDATE message SET state = 'waiting' WHERE action = ? AND state = 'cancelled' AND answers = ''",
                (action,),
            )

    def forget(self, now: float) -> None:
        """Drop what is long over, and cancel what nobody could be told in time."""
        with self._transaction() as db:
            db.execute("DELETE FROM message WHERE created_at < ?", (now - KEPT_S,))
            db.execute("UPDATE message SET state = 'cancelled' WHERE state = 'waiting' AND until <= ?", (now,))

    def _find(self, where: str, *values: object) -> list[Message]:
        with self._transaction(write=False) as db:
            rows = db.execute(f"SELECT {', '.join(Message.__slots__)} FROM message {where}", values).fetchall()
        named = [dict(zip(Message.__slots__, row, strict=True)) for row in rows]
        return [Message(**{**one, "state": MessageState(one["state"])}) for one in named]

    def _transaction(self, *, write: bool = True) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return transaction(self._path, write=write)
