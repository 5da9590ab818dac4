"""Erasing somebody from the audit trail: unreadable everywhere, the chain and its checkpoints as they were."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tapwarden.agent.audit import examine
from tapwarden.agent.erasure import erase
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.checkpoints import Checkpoints
from tapwarden.agent.store.cases.people import ERASED
from tapwarden.agent.store.evidence import SigningKey
from tapwarden.model.errors import RefusedError
from tapwarden.model.user import Role, User

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[SqlCaseStore]:
    store = SqlCaseStore.at(tmp_path / "cases.db")
    yield store
    store.close()


def fill(cases: SqlCaseStore) -> None:
    with cases.transaction():
        cases.audit(actor="anna", verb="decide", subject="i-1", detail="block address 203.0.113.9 for anna", at=NOW)
        cases.audit(actor="bert", verb="user.log_in", subject="user:anna", detail="from 2001:db8::7", at=NOW)
    cases.audit(actor="policy:c2", verb="decide", subject="i-2", detail="mail anna@example.org, version 1.2.3", at=NOW)
    cases.audit(actor="annabel", verb="decide", subject="i-3", detail="{person:000000000000000000000000} x", at=NOW)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_a_record_reads_as_it_was_written_and_names_nobody_where_it_is_kept(
    cases: SqlCaseStore, tmp_path: Path
) -> None:
    fill(cases)
    newest = cases.audit_records()
    assert newest[2].subject == "user:anna"
    assert newest[3].detail == "block address 203.0.113.9 for anna"
    assert newest[1].detail == "mail anna@example.org, version 1.2.3"
    assert newest[0].detail == "{person :000000000000000000000000} x"  # nobody forges a token
    assert [record.seq for record in cases.audit_records(subject="user:anna")] == [2]
    with sqlite3.connect(tmp_path / "cases.db") as db:
        kept = " ".join(str(row) for row in db.execute("SELECT actor, subject, detail FROM audit"))
    db.close()
    for name in ("anna", "bert", "203.0.113.9", "2001:db8::7", "anna@example.org"):
        assert name not in kept
    assert "version 1.2.3" in kept
    assert "policy:c2" in kept


def test_after_an_erasure_by_two_people_nobody_is_named_and_chain_and_checkpoints_agree(
    cases: SqlCaseStore, tmp_path: Path
) -> None:
    fill(cases)
    signing = SigningKey.at(tmp_path / "key")
    checkpoints = Checkpoints(tmp_path / "checkpoints", signing.sign)
    checkpoints.take(cases.audit_records()[0].seq, cases.audit_records()[0].hash, NOW)
    assert erase(cases, "anna", reason="request of 1 Nov", by="carla", now=NOW).waits
    assert erase(cases, "anna", reason="request of 1 Nov", by="carla", now=NOW).waits  # the same person, again
    assert cases.audit_record(1).actor == "anna"  # type: ignore[union-attr]
    outcome = erase(cases, "anna", reason="request of 1 Nov", by="dora", now=NOW)
    assert (outcome.waits, outcome.erased.records, outcome.erased.in_clear) == (False, 2, 0)
    first, second = cases.audit_record(1), cases.audit_record(2)
    assert first is not None
    assert second is not None
    assert (first.actor, first.detail) == (ERASED, f"block address 203.0.113.9 for {ERASED}")
    assert second.subject == f"user:{ERASED}"
    assert cases.audit_record(4).actor == "annabel"  # type: ignore[union-attr]
    assert examine(cases, checkpoints.all(), signing.public).problem == ""
    cases.close()
    assert b"anna" not in everything(tmp_path).replace(b"annabel", b"").replace(b"anna@example", b"")


def test_what_is_said_of_somebody_after_their_erasure_is_another_token(cases: SqlCaseStore, tmp_path: Path) -> None:
    cases.audit(actor="anna", verb="a", subject="s", at=NOW)
    erase(cases, "anna", reason="r1", by="carla", now=NOW)
    erase(cases, "anna", reason="r1", by="dora", now=NOW)
    cases.audit(actor="anna", verb="b", subject="s", at=NOW)
    newest = cases.audit_records(subject="s")
    assert [record.actor for record in newest] == ["anna", ERASED]
    with sqlite3.connect(tmp_path / "cases.db") as db:
        stored = [row[0] for row in db.execute("SELECT actor FROM audit WHERE subject = 's' ORDER BY seq")]
    db.close()
    assert stored[0] != stored[1]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE audit SET detail = replace(detail, 'block', 'blocl') WHERE seq = 1", 1),
        ("UPDATE audit SET actor = (SELECT actor FROM audit WHERE seq = 2) WHERE seq = 1", 1),
        (
            "UPDATE audit_person SET sealed = cast(substr(sealed, 1, 12) || 'xy' || substr(sealed, 15) AS BLOB)"
            " WHERE rowid = 1",
            1,
        ),
        ("DELETE FROM audit_person WHERE rowid = 3", 2),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM subjects.key WHERE rowid = 1", 1),
    ],
)
def test_one_bit_of_a_record_or_of_a_sealed_name_is_found_also_after_an_erasure(
    cases: SqlCaseStore, tmp_path: Path, damage: str, named: int
) -> None:
    fill(cases)
    erase(cases, "anna@example.org", reason="r", by="carla", now=NOW)
    erase(cases, "anna@example.org", reason="r", by="dora", now=NOW)
    assert cases.verify_audit() is None
    with sqlite3.connect(tmp_path / "cases.db") as db:
        db.execute("ATTACH DATABASE ? AS subjects", (str(tmp_path / "cases-subjects.db"),))
        assert db.execute(damage).rowcount == 1
    db.close()
    assert cases.verify_audit() == named


def test_what_is_still_needed_or_not_explained_is_not_erased(cases: SqlCaseStore) -> None:
    fill(cases)
    cases.put_user(User("anna", Role.ANALYST, "x", NOW))
    with pytest.raises(RefusedError, match="disable it first"):
        erase(cases, "anna", reason="r", by="carla", now=NOW)
    with pytest.raises(RefusedError, match="leave the name out"):
        erase(cases, "bert", reason="Bert asked for it", by="carla", now=NOW)
    with pytest.raises(RefusedError, match="whose, and why"):
        erase(cases, "bert", reason=" ", by="carla", now=NOW)


def test_records_of_older_versions_that_have_the_name_itself_are_counted(cases: SqlCaseStore, tmp_path: Path) -> None:
    cases.audit(actor="carla", verb="x", subject="s", detail="called old_name", at=NOW)
    erase(cases, "old_name", reason="r", by="carla", now=NOW)
    assert erase(cases, "old_name", reason="r", by="dora", now=NOW).erased.in_clear == 1
