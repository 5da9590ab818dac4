"""The CaseStore port on SQLite and PostgreSQL."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.inbox import BADGES_MAX
from tapwarden.agent.store.cases.tables import metadata
from tapwarden.model.decision import (
    Action,
    ActionState,
    Authority,
    AuthorityKind,
    Decision,
    Measure,
    Target,
    TargetType,
)
from tapwarden.model.errors import StoreError
from tapwarden.model.incident import (
    AlertGroup,
    GroupState,
    Incident,
    IncidentState,
    ThreatClass,
    TimelineEntry,
    Verdict,
)
from tapwarden.model.report import Receipt, Report, ReportState, Stage
from tapwarden.model.user import Role, User

T0 = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_group(n: int = 1, **changes: object) -> AlertGroup:
    group = AlertGroup(
        id=f"g{n}",
        gid=1,
        sid=2_000_000 + n,
        signature="ET MALWARE beacon",
        category="A Network Trojan was detected",
        severity=1,
        src_ip="192.0.2.1",
        dest_ip="2001:db8::5",
        count=1,
        first_seen=T0,
        last_seen=T0,
        event_id="0" * 32,
        badges=("evil.example",),
        sensor="tap1",
    )
    return replace(group, **changes)  # type: ignore[arg-type]


def an_incident(n: int = 1, **changes: object) -> Incident:
    incident = Incident(
        id=f"i{n}",
        title='<script>alert("x")</script> Ünïcode 事件',
        threat_class=ThreatClass.MALICIOUS_RESOURCE,
        severity=2,
        state=IncidentState.SUSPECTED,
        detected_at=T0,
        opened_at=T0 + n * HOUR,
        opened_by="policy:beacon",
        due_at=T0 + 24 * HOUR,
        summary="it calls home",
        group_ids=("g1", "g2"),
        affected=("192.0.2.1",),
        indicators=("evil.example", "198.51.100.7"),
        timeline=(TimelineEntry(T0, "detected", "first alert\nwith a second line", "engine"),),
        notes=("a note",),
    )
    return replace(incident, **changes)  # type: ignore[arg-type]


def a_decision(n: int = 1) -> Decision:
    return Decision(
        id=f"d{n}",
        incident_id="i1",
        measure=Measure.BLOCK,
        targets=(Target(TargetType.ADDRESS, "198.51.100.7"), Target(TargetType.NETWORK, "2001:db8::/32")),
        scope="this host",
        reason="it is the control end",
        authority=Authority(AuthorityKind.STANDING_POLICY, "beacon", "policy 7", T0),
        decided_at=T0 + n * HOUR,
        expires_at=T0 + 9 * HOUR,
    )


def an_action(n: int = 1, **changes: object) -> Action:
    action = Action(
        id=f"a{n}",
        decision_id="d1",
        incident_id="i1",
        measure=Measure.BLOCK,
        target=Target(TargetType.ADDRESS, "198.51.100.7"),
        mitigator="nftables",
        state=ActionState.APPLIED,
        created_at=T0 + n * HOUR,
        expires_at=T0 + 9 * HOUR,
        dry_run=True,
        applied_at=T0 + HOUR,
    )
    return replace(action, **changes)  # type: ignore[arg-type]


def a_report(n: int = 1, **changes: object) -> Report:
    report = Report(
        id=f"r{n}",
        incident_id="i1",
        stage=Stage.EARLY,
        state=ReportState.READY,
        version=1,
        created_at=T0 + n * HOUR,
        due_at=T0 + 24 * HOUR,
        body={"report_id": f"r{n}", "affected": ["192.0.2.1"], "nested": {"unknown": None, "n": 1.5}},
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def test_everything_stored_comes_back_equal_after_reopening(open_cases: Callable[[], SqlCaseStore]) -> None:
    store = open_cases()
    incident = an_incident(drill=True, closed_at=T0 + 5 * HOUR)
    report = a_report(
        next_attempt_at=T0,
        last_error="refused",
        receipt=Receipt("N-7", T0.astimezone(timezone(8 * HOUR)), '{"x": "\\u0000"}'),
    )
    user = User("admin", Role.ADMIN, "$argon2id$...", T0, must_change=True)
    (group,) = store.merge_groups([a_group()])
    store.put_incident(incident)
    store.put_decision(a_decision())
    store.put_action(an_action(ended_at=T0))
    store.put_report(report)
    store.put_user(user)
    record = store.audit(actor="admin", verb="login", subject="admin", at=T0)

    again = open_cases()
    assert again.group("g1") == group == a_group()
    assert again.incident("i1") == incident
    assert again.decision("d1") == a_decision()
    assert again.action("a1") == an_action(ended_at=T0)
    assert again.report("r1") == report
    assert again.user("admin") == user
    assert list(again.users()) == [user]
    assert list(again.audit_records()) == [record]
    assert again.incident("nothing") is None


def test_putting_again_replaces(cases: SqlCaseStore) -> None:
    cases.put_incident(an_incident())
    cases.put_report(a_report())
    changed = replace(a_report(), state=ReportState.ACKNOWLEDGED, version=2, receipt=Receipt("1", T0, ""))
    cases.put_report(changed)
    cases.put_incident(an_incident(title="better"))
    assert cases.report("r1") == changed
    assert [incident.title for incident in cases.incidents()] == ["better"]


def test_lists_are_newest_first_and_restricted_as_asked(cases: SqlCaseStore) -> None:
    for n in (2, 1, 3):
        cases.put_incident(an_incident(n, state=IncidentState.CLOSED if n == 2 else IncidentState.CONFIRMED))
    for n in (1, 2):
        cases.put_decision(a_decision(n))
    cases.put_action(an_action(1))
    cases.put_action(an_action(2, decision_id="d2", state=ActionState.EXPIRED))
    for n in (1, 2):
        cases.put_report(a_report(n))
    cases.put_report(a_report(3, incident_id="i3", state=ReportState.DRAFT))
    assert [i.id for i in cases.incidents()] == ["i3", "i2", "i1"]
    assert [i.id for i in cases.incidents(limit=1)] == ["i3"]
    assert [i.id for i in cases.incidents(open_only=True)] == ["i3", "i1"]
    assert [i.id for i in cases.incidents(state=IncidentState.CLOSED)] == ["i2"]
    assert [d.id for d in cases.decisions(incident_id="i1")] == ["d2", "d1"]
    assert [d.id for d in cases.decisions(incident_id="i2")] == []
    assert [a.id for a in cases.actions(states=[ActionState.APPLIED, ActionState.VERIFIED])] == ["a1"]
    assert [a.id for a in cases.actions(decision_id="d2", incident_id="i1")] == ["a2"]
    assert [r.id for r in cases.reports(incident_id="i1")] == ["r2", "r1"]
    assert [r.id for r in cases.reports(state=ReportState.DRAFT)] == ["r3"]


def test_an_action_without_its_decision_is_refused(cases: SqlCaseStore) -> None:
    with pytest.raises(StoreError, match="refuses"):
        cases.put_action(an_action())


def test_the_outbox_sees_what_is_due_earliest_deadline_first(cases: SqlCaseStore) -> None:
    cases.put_incident(an_incident())
    cases.put_report(a_report(1, due_at=T0 + 3 * HOUR))
    cases.put_report(a_report(2, due_at=T0 + 2 * HOUR, state=ReportState.SENDING, next_attempt_at=T0))
    cases.put_report(a_report(3, due_at=T0 + HOUR, next_attempt_at=T0 + timedelta(microseconds=1)))
    cases.put_report(a_report(4, state=ReportState.DRAFT))
    cases.put_report(a_report(5, state=ReportState.ACKNOWLEDGED))
    assert [r.id for r in cases.due_reports(T0)] == ["r2", "r1"]
    assert [r.id for r in cases.due_reports(T0 + HOUR, limit=2)] == ["r3", "r2"]


def test_merging_adds_counts_widens_times_and_keeps_the_newest_alert(cases: SqlCaseStore) -> None:
    cases.merge_groups([a_group(count=2, event_id="a", badges=("one.example",))])
    earlier = a_group(id="other", count=3, event_id="b", first_seen=T0 - HOUR, last_seen=T0 - HOUR, badges=())
    later = a_group(count=5, event_id="c", last_seen=T0 + HOUR, signature="renamed", badges=("two.example",))
    merged = cases.merge_groups([later, a_group(2), earlier])
    assert merged[0] == merged[2] == cases.group("g1")
    assert merged[1] == a_group(2)
    expected = a_group(
        count=10,
        event_id="c",
        first_seen=T0 - HOUR,
        last_seen=T0 + HOUR,
        signature="renamed",
        badges=("one.example", "two.example"),
    )
    assert merged[0] == expected


def test_a_batch_with_a_key_twice_counts_as_two_batches(open_cases: Callable[[], SqlCaseStore]) -> None:
    one = a_group(count=2, event_id="a", last_seen=T0 + HOUR, signature="new", badges=("b.example", "a.example"))
    two = a_group(id="x", count=3, event_id="b", first_seen=T0 - HOUR, badges=("c.example",))
    store = open_cases()
    together = store.merge_groups([one, two])
    assert together[0] == together[1] == store.group("g1")
    store.merge_groups([a_group(2), replace(one, sid=7, id="g7")])
    (apart,) = store.merge_groups([replace(two, sid=7)])
    assert apart == replace(together[0], id="g7", sid=7)


def test_an_archived_group_opens_again_unless_it_was_a_false_positive(cases: SqlCaseStore) -> None:
    cases.merge_groups([a_group(1), a_group(2), a_group(3)])
    assert cases.set_groups(["g1"], state=GroupState.ARCHIVED, by="ann", at=T0) == 1
    cases.set_groups(["g2"], state=GroupState.ARCHIVED, verdict=Verdict.FALSE_POSITIVE, by="ann", at=T0)
    cases.set_groups(["g3"], state=GroupState.ESCALATED, incident_id="i9", by="ann", at=T0)
    states = [(group.state, group.incident_id) for group in cases.merge_groups([a_group(1), a_group(2), a_group(3)])]
    assert states == [(GroupState.OPEN, ""), (GroupState.ARCHIVED, ""), (GroupState.ESCALATED, "i9")]


def test_badges_of_a_group_are_bounded(cases: SqlCaseStore) -> None:
    for n in range(4):
        (group,) = cases.merge_groups([a_group(badges=tuple(f"{n}-{i}.example" for i in range(20)))])
    assert len(group.badges) == BADGES_MAX


def test_many_threads_lose_no_count_and_break_no_chain(open_cases: Callable[[], SqlCaseStore]) -> None:
    stores = [open_cases(), open_cases()]
    threads_count, rounds = 6, 15

    def work(n: int) -> None:
        store = stores[n % 2]
        for i in range(rounds):
            groups = [a_group(1, badges=(f"{n}.example",)), a_group(2), a_group(3)]
            store.merge_groups(groups if n % 2 else groups[::-1])
            store.audit(actor=f"thread {n}", verb="merge", subject=str(i), at=T0)

    failures: list[BaseException] = []

    def guarded(n: int) -> None:
        try:
            work(n)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(threads_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    groups = stores[0].groups()
    assert [group.count for group in groups] == [threads_count * rounds] * 3
    first = stores[0].group("g1")
    assert first is not None
    assert sorted(first.badges) == [f"{n}.example" for n in range(threads_count)]
    assert stores[0].verify_audit() is None
    assert len(stores[0].audit_records(limit=1000)) == threads_count * rounds


def test_reading_and_putting_back_in_a_transaction_is_safe(open_cases: Callable[[], SqlCaseStore]) -> None:
    store = open_cases()
    store.put_incident(an_incident())
    store.put_report(a_report())

    def raise_attempts() -> None:
        for _ in range(20):
            with store.transaction():
                report = store.report("r1")
                assert report is not None
                store.put_report(replace(report, attempts=report.attempts + 1))

    threads = [threading.Thread(target=raise_attempts) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = store.report("r1")
    assert report is not None
    assert report.attempts == 80


def test_a_transaction_that_fails_leaves_nothing(cases: SqlCaseStore) -> None:
    def fails() -> None:
        with cases.transaction():
            cases.put_incident(an_incident())
            cases.audit(actor="ann", verb="open", subject="i1", at=T0)
            with cases.transaction():
                cases.put_report(a_report())
            raise LookupError("half-way")

    with pytest.raises(LookupError):
        fails()
    assert cases.incident("i1") is None
    assert cases.report("r1") is None
    assert cases.verify_audit() is None
    assert list(cases.audit_records()) == []
    cases.put_incident(an_incident())
    assert cases.incident("i1") is not None


def test_the_inbox_is_ordered_searched_and_paged(cases: SqlCaseStore) -> None:
    cases.merge_groups(
        [
            a_group(1, severity=3, count=50, last_seen=T0),
            a_group(2, severity=1, count=2, last_seen=T0 + HOUR, signature="100% Evil_", badges=()),
            a_group(3, severity=1, count=9, last_seen=T0 + 2 * HOUR, src_ip="203.0.113.9", badges=("käse.example",)),
        ]
    )
    assert [g.id for g in cases.groups()] == ["g3", "g2", "g1"]
    assert [g.id for g in cases.groups(order="count")] == ["g1", "g3", "g2"]
    assert [g.id for g in cases.groups(order="last_seen", limit=1, offset=1)] == ["g2"]
    assert [g.id for g in cases.groups(min_count=9)] == ["g3", "g1"]
    assert [g.id for g in cases.groups(text="% eVIL_")] == ["g2"]
    assert [g.id for g in cases.groups(text="0%e")] == []
    assert [g.id for g in cases.groups(text="203.0.113")] == ["g3"]
    assert [g.id for g in cases.groups(text="EVIL.example")] == ["g1"]
    assert [g.id for g in cases.groups(text="käse")] == ["g3"]
    assert cases.count_groups() == 3
    cases.set_groups(["g1", "g1", "none"], state=GroupState.ARCHIVED, by="ann", at=T0)
    assert cases.count_groups(state=GroupState.OPEN) == 2
    with pytest.raises(ValueError, match="priority"):
        cases.groups(order="beauty")


def test_triage_of_many_groups_is_audited_one_by_one(cases: SqlCaseStore) -> None:
    cases.merge_groups([a_group(n) for n in range(1, 702)])
    ids = [f"g{n}" for n in range(1, 703)]
    assert cases.set_groups(ids, verdict=Verdict.FALSE_POSITIVE, by="ann", at=T0) == 701
    (record,) = cases.audit_records(subject="g700")
    assert (record.actor, record.verb, record.detail) == ("ann", "triage", "verdict=false_positive")
    assert cases.verify_audit() is None


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        ("UPDATE audit SET detail = 'nothing happened' WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("UPDATE audit SET at = (SELECT at FROM audit WHERE seq = 1) WHERE seq = 4", 4),
        ("DELETE FROM audit", 1),
    ],
)
def test_a_changed_or_missing_audit_record_is_found(
    cases: SqlCaseStore, case_url: str, tamper: str, found: int
) -> None:
    for n in range(5):
        cases.audit(actor="ann", verb="block", subject=f"a{n}", detail="\x1b[31m\0\ud800 ü", at=T0 + n * HOUR)
    assert cases.verify_audit() is None
    engine = create_engine(case_url)
    with engine.begin() as connection:
        connection.execute(text(tamper))
    engine.dispose()
    assert cases.verify_audit() == found


def test_a_timeline_only_grows_whoever_puts_an_older_copy_back(cases: SqlCaseStore) -> None:
    first, second = TimelineEntry(T0, "aware", "seen", "ann"), TimelineEntry(T0, "reported", "receipt 1", "outbox")
    cases.put_incident(an_incident(timeline=(first,)))
    stale = cases.incident("i1")
    assert stale is not None
    cases.put_incident(replace(stale, timeline=(first, second)))
    third = TimelineEntry(T0 + HOUR, "closed", "done", "bob", recorded_at=T0 + HOUR)
    cases.put_incident(replace(stale, timeline=(first, third)))
    cases.put_incident(replace(stale, timeline=(replace(first, text="never happened"),)))
    kept = cases.incident("i1")
    assert kept is not None
    assert kept.timeline[:3] == (first, second, third)
    assert kept.moment("aware") == T0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(st.characters(codec=None), max_size=30))
def test_no_text_keeps_a_group_or_an_incident_from_being_stored(cases: SqlCaseStore, words: str) -> None:
    shown = words.replace("\0", "\u2400").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    cases.put_incident(an_incident(title=words, notes=(words,)))
    incident = cases.incident("i1")
    assert incident is not None
    assert (incident.title, incident.notes) == (shown, (words,))
    (group,) = cases.merge_groups([a_group(src_ip=words, badges=(words,), id=f"g{abs(hash(words))}")])
    assert group.src_ip == shown
    assert words in group.badges


def test_the_migrations_make_what_the_tables_say(cases: SqlCaseStore, case_url: str) -> None:
    assert cases.count_groups() == 0
    engine = create_engine(case_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


def test_a_store_of_a_newer_version_is_refused_and_left_alone(
    open_cases: Callable[[], SqlCaseStore], case_url: str
) -> None:
    open_cases().close()
    engine = create_engine(case_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="newer Tapwarden"):
        open_cases()


def test_stores_opened_at_the_same_moment_migrate_once(case_url: str) -> None:
    opened: list[SqlCaseStore] = []
    threads = [threading.Thread(target=lambda: opened.append(SqlCaseStore(case_url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for store in opened:
        assert store.verify_audit() is None
        store.close()


def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    store = SqlCaseStore.at(tmp_path / "new" / "cases.db")
    assert (tmp_path / "new" / "cases.db").stat().st_mode & 0o777 == 0o600
    store.close()


def test_a_file_that_is_no_database_is_an_error_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    path.write_bytes(b"this is a letter to my aunt" * 100)
    with pytest.raises(StoreError, match=r"cases\.db"):
        SqlCaseStore.at(path)
    assert path.read_bytes().startswith(b"this is a letter")


def test_a_store_locked_by_others_for_too_long_is_an_error_not_a_hang(tmp_path: Path) -> None:
    store = SqlCaseStore.at(tmp_path / "cases.db")
    engine = store._engine
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "cases.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.put_incident(an_incident())
    other.execute("ROLLBACK")
    other.close()
    store.put_incident(an_incident())
    store.close()


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        SqlCaseStore.at(tmp_path / "file" / "cases.db")
    for url in ("sqlite://", "mysql://localhost/x"):
        with pytest.raises(StoreError, match="cases are"):
            SqlCaseStore(url)
