"""Personal data in the audit trail: held as commitments, readable through keys that can be destroyed.

A record's text, which the chain's hash covers for good, does not name people, addresses or mailboxes but has a token
in their place, ``{person:24 hex}``: the HMAC-SHA256 of the name under a random key of its own. The name itself, sealed
with that key (AES-GCM), is in ``audit_person``; the key is apart, in another database file (SQLite: beside the cases,
attached as ``subjects``; PostgreSQL: the schema ``subjects``), to be kept, backed up and destroyed by itself::

    audit          "{person:3f...} block address {person:a0...}"     hashed, signed, never changed
    audit_person   3f... -> sealed "anna"                            unreadable without the key
    subjects.key   HMAC(pepper, "anna") -> 3f..., key                destroyed by an erasure

After that the chain verifies as before, and nothing that is left says who it was: without its key the token is a random
number, and the look-up by name is gone. What is said of the same person later gets a new key and another token.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    cast,
    delete,
    insert,
    select,
)

from tapwarden.agent.store.cases.tables import audit_person

SCHEMA = "subjects"

keys_metadata = MetaData(schema=SCHEMA)

key = Table(
    "key",
    keys_metadata,
    Column("look_up", String(64), primary_key=True),
    Column("token", String(24), nullable=False, unique=True),
    Column("secret", LargeBinary(32), nullable=False),
)

pepper = Table(
    "pepper",
    keys_metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("secret", LargeBinary(32), nullable=False),
)
"""What look-ups by name are made with, so that the table of keys is no list of hashed names."""

asked = Table(
    "asked",
    keys_metadata,
    Column("look_up", String(64), primary_key=True),
    Column("by", String(255), nullable=False),
    Column("at", Float, nullable=False),
)
"""Erasures that wait for a second person."""

ASKED_FOR_S = 7 * 86400.0
"""How long a request waits; then somebody has to ask again."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure came to: the token that stands for nobody now ("" where the trail never named it), in how many
    records it stands, and how many older ones have the name itself, which their hashes cover."""

    token: str
    records: int
    in_clear: int


_TOKEN = re.compile(r"\{person:([0-9a-f]{24})\}")
_V4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)"
_V6 = r"(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F.]{0,15}(?![\w:])"
_MAIL = r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
_PERSONAL = re.compile(f"{_MAIL}|{_V4}|{_V6}")
"""What is taken for personal wherever it stands: mailboxes and addresses."""

ERASED = "[erased]"

_FIND = select(key.c.token).where(key.c.look_up == bindparam("look_up"))
_KEEP, _SEAL = insert(key), insert(audit_person)
AT_ONCE = 400


def make_tables(connection: Connection) -> None:
    """The tables of keys, where they are not there yet."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    keys_metadata.create_all(connection)
    if connection.execute(select(pepper.c.id)).first() is None:
        connection.execute(insert(pepper).values(id=0, secret=secrets.token_bytes(32)))


class People:
    """Tokens for names within one transaction. ``mask`` makes them, ``reveal`` reads them, ``erase`` ends them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pepper: bytes = b""
        self._tokens: dict[str, str] = {}
        self._keys: list[dict[str, object]] = []
        self._sealed: list[dict[str, object]] = []

    def flush(self) -> None:
        """Write the names that are new, keys and seals each in one statement."""
        if self._keys:
            self._connection.execute(_KEEP, self._keys)
            self._connection.execute(_SEAL, self._sealed)
            self._keys.clear()
            self._sealed.clear()

    def mask(self, text: str, *names: str) -> str:
        """The text with tokens for mailboxes, addresses and these names, where they stand as whole words."""
        text = text.replace("{person:", "{person :")  # nobody writes a token into the trail from outside
        wanted = [name for name in names if len(name) > 1]
        if wanted:
            listed = "|".join(re.escape(name) for name in sorted(wanted, key=len, reverse=True))
            pattern = re.compile(f"(?<![\\w@.-])(?:{listed})(?![\\w@-])|{_PERSONAL.pattern}")
        else:
            pattern = _PERSONAL
        return pattern.sub(lambda found: self._token_for(found[0]), text)

    def known(self, text: str, *names: str) -> str:
        """The same, for looking records up: names without a token stay as they are."""
        every = re.compile("|".join([*(re.escape(name) for name in names if name), _PERSONAL.pattern]))
        return every.sub(lambda found: self._find(found[0]) or found[0], text)

    def reveal(self, texts: Iterable[str]) -> Mapping[str, str]:
        """What each token in the texts stands for; ``ERASED`` where its key was destroyed."""
        tokens = sorted({token for text in texts for token in _TOKEN.findall(text)})
        names = dict.fromkeys(tokens, ERASED)
        for start in range(0, len(tokens), AT_ONCE):
            names |= self._opened(tokens[start : start + AT_ONCE])
        return names

    def erase(self, name: str) -> str:
        """Destroy the name's key; the token that stands for nobody now, "" where the trail never named it."""
        token = self._find(name)
        if token is None:
            return ""
        look_up = self._look_up(name)
        for table in (key, asked):
            self._connection.execute(delete(table).where(table.c.look_up == look_up))
        self._tokens.pop(name, None)
        return token.removeprefix("{person:").removesuffix("}")

    def ask(self, name: str, by: str, at: float) -> str:
        """Note who asks for an erasure, unless somebody has; who has."""
        look_up = self._look_up(name)
        self._connection.execute(delete(asked).where(asked.c.at < at - ASKED_FOR_S))
        who = self._connection.execute(select(asked.c.by).where(asked.c.look_up == look_up)).scalar()
        if who is None:
            self._connection.execute(insert(asked).values(look_up=look_up, by=by, at=at))
        return str(who or by)

    def changed(self) -> Iterable[str]:
        """Tokens whose sealed name is not what was sealed, though its key is there."""
        statement = select(audit_person.c.token, cast(audit_person.c.sealed, LargeBinary), key.c.secret)
        statement = statement.join_from(audit_person, key, key.c.token == audit_person.c.token)
        for token, sealed, secret in self._connection.execute(statement):
            name = _unsealed(sealed, secret)
            if name is None or _commitment(secret, name) != token:
                yield token
        orphans = select(key.c.token).where(key.c.token.not_in(select(audit_person.c.token)))
        yield from self._connection.execute(orphans).scalars()

    def keyless(self) -> frozenset[str]:
        """Tokens whose key is not there: erased, or destroyed by somebody."""
        there = select(key.c.token)
        statement = select(audit_person.c.token).where(audit_person.c.token.not_in(there))
        return frozenset(self._connection.execute(statement).scalars())

    def _token_for(self, name: str) -> str:
        if (known := self._find(name)) is not None:
            return known
        secret = secrets.token_bytes(32)
        token = _commitment(secret, name)
        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(secret).encrypt(nonce, name.encode(), None)
        self._keys.append({"look_up": self._look_up(name), "token": token, "secret": secret})
        self._sealed.append({"token": token, "sealed": sealed})
        self._tokens[name] = f"{{person:{token}}}"
        return self._tokens[name]

    def _find(self, name: str) -> str | None:
        if name not in self._tokens:
            row = self._connection.execute(_FIND, {"look_up": self._look_up(name)}).first()
            if row is None:
                return None
            self._tokens[name] = f"{{person:{row[0]}}}"
        return self._tokens[name]

    def _look_up(self, name: str) -> str:
        if not self._pepper:
            self._pepper = self._connection.execute(select(pepper.c.secret)).scalar_one()
        return hmac.new(self._pepper, name.encode(), hashlib.sha256).hexdigest()

    def _opened(self, tokens: list[str]) -> Mapping[str, str]:
        statement = select(audit_person.c.token, cast(audit_person.c.sealed, LargeBinary), key.c.secret)
        statement = statement.join_from(audit_person, key, key.c.token == audit_person.c.token)
        rows = self._connection.execute(statement.where(audit_person.c.token.in_(tokens)))
        return {token: name for token, sealed, secret in rows if (name := _unsealed(sealed, secret)) is not None}


def unmasked(text: str, names: Mapping[str, str]) -> str:
    """The text with names in place of their tokens."""
    return _TOKEN.sub(lambda found: names.get(found[1], ERASED), text)


def _commitment(secret: bytes, name: str) -> str:
    return hmac.new(secret, b"tapwarden person\n" + name.encode(), hashlib.sha256).hexdigest()[:24]


def _unsealed(sealed: bytes, secret: bytes) -> str | None:
    try:
        return AESGCM(secret).decrypt(sealed[:12], sealed[12:], None).decode()
    except (InvalidTag, ValueError):
        return None
