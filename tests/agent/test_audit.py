"""The audit trail: one changed bit is found and named, also by those who could rewrite the whole chain."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tapwarden.agent.audit import examine
from tapwarden.agent.cli import cli
from tapwarden.agent.composition import Parts, checkpoints_of, composed, signing_key_of
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.store.cases.trail import GENESIS, record_hash
from tapwarden.model.decision import AuditRecord
from tapwarden.model.errors import StoreError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with composed(Config(), Layout.at(tmp_path)) as made:
        for number in range(5):
            made.cases.audit(actor="ann", verb="decide", subject=f"i{number}", detail="block", at=NOW)
        yield made


def take(parts: Parts) -> None:
    head = parts.cases.audit_records(limit=1)[0]
    assert checkpoints_of(parts.layout).take(head.seq, head.hash, NOW) is not None


def found(parts: Parts) -> tuple[int, str]:
    verdict = examine(parts.cases, checkpoints_of(parts.layout).all(), signing_key_of(parts.layout).public)
    return verdict.broken_at, verdict.problem


def database(parts: Parts) -> sqlite3.Connection:
    return sqlite3.connect(parts.layout.state(parts.config.store.cases), isolation_level=None)


def test_a_whole_trail_and_its_checkpoints_agree_and_nothing_new_needs_no_new_one(parts: Parts) -> None:
    take(parts)
    head = parts.cases.audit_records(limit=1)[0]
    assert checkpoints_of(parts.layout).take(head.seq, head.hash, NOW) is None
    assert found(parts) == (0, "")


def test_one_changed_bit_names_the_record(parts: Parts) -> None:
    database(parts).execute("UPDATE audit SET detail = 'cloak' WHERE seq = 3")
    broken_at, problem = found(parts)
    assert broken_at == 3
    assert "record 3 was changed" in problem


def test_a_chain_rewritten_whole_is_found_by_the_checkpoint(parts: Parts) -> None:
    take(parts)
    db, previous = database(parts), GENESIS
    for seq in range(1, 6):
        record = AuditRecord(seq, NOW, "eve", "decide", f"i{seq - 1}", "nothing", previous, "")
        previous = record_hash(record)
        db.execute(
            "UPDATE audit SET actor = 'eve', detail = 'nothing', previous = ?, hash = ? WHERE seq = ?",
            (record.previous, previous, seq),
        )
    db.execute("UPDATE audit_head SET hash = ?", (previous,))
    assert parts.cases.verify_audit() is None, "the chain itself looks whole"
    broken_at, problem = found(parts)
    assert broken_at == 5
    assert "it was rewritten" in problem


def test_a_trail_cut_short_is_found_by_the_checkpoint(parts: Parts) -> None:
    take(parts)
    db = database(parts)
    db.execute("DELETE FROM audit WHERE seq > 3")
    (hash_,) = db.execute("SELECT hash FROM audit WHERE seq = 3").fetchone()
    db.execute("UPDATE audit_head SET seq = 3, hash = ?", (hash_,))
    assert found(parts)[1].endswith("knew record 5, which is gone")


@pytest.mark.parametrize("field", ["seq", "hash", "at", "signature"])
def test_a_changed_checkpoint_is_not_believed(parts: Parts, field: str) -> None:
    take(parts)
    path = parts.layout.state("audit-checkpoints.jsonl")
    given = json.loads(path.read_text())
    given[field] = {
        "seq": 4,
        "hash": "0" * 64,
        "at": "2026-03-02T00:00:00+00:00",
        "signature": "A" * 86 + "==",
    }[field]
    path.write_text(json.dumps(given) + "\n")
    assert "is not signed with this key, or was changed" in found(parts)[1]


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), *arguments])


def test_the_commands_sign_verify_and_fail_by_exit_code(parts: Parts, tmp_path: Path) -> None:
    signed = run(tmp_path, "audit", "checkpoint")
    assert json.loads(signed.output)["seq"] == 5
    copy = tmp_path / "copy.jsonl"
    copy.write_text(signed.output)
    public = signing_key_of(parts.layout).public.hex()
    assert "5 records are what they were; 1 signed" in run(tmp_path, "audit", "verify").output
    elsewhere = run(tmp_path, "audit", "verify", "--checkpoints", str(copy), "--public-key", public)
    assert elsewhere.exit_code == 0
    assert run(tmp_path, "audit", "verify", "--public-key", "ab" * 32).exit_code == 1
    database(parts).execute("UPDATE audit SET actor = 'eve' WHERE seq = 2")
    assert run(tmp_path, "audit", "verify").exit_code == 1


def test_allow_check_names_the_entry(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "tapwarden.yaml").write_text("mitigation: {never_block: [203.0.113.0/24]}\n")
    done = run(tmp_path, "-o", "json", "allow", "check", "203.0.113.9", "198.18.0.1", "::ffff:127.0.0.1")
    assert done.exit_code == 4
    told = json.loads(done.output[: done.output.rindex("]") + 1])
    assert [one["allowed"] for one in told] == [False, True, False]
    assert told[0]["entry"] == "never_block: 203.0.113.0/24"


def test_the_last_checkpoint_is_found_without_reading_those_before_it(parts: Parts) -> None:
    take(parts)
    path = parts.layout.state("audit-checkpoints.jsonl")
    path.write_text("no checkpoint\n" * 1000 + path.read_text())
    head = parts.cases.audit_records(limit=1)[0]
    assert checkpoints_of(parts.layout).take(head.seq, head.hash, NOW) is None
    with pytest.raises(StoreError, match=":1: this is no checkpoint"):
        list(checkpoints_of(parts.layout).all())
