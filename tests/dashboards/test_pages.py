"""Every page, as HTML and as JSON, over real stores."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tapwarden.agent.store.evidence import EvidenceFolder
from tapwarden.model.decision import ActionState
from tapwarden.model.errors import StoreError
from tapwarden.model.evidence import FlowPackets, Frame
from tapwarden.model.incident import GroupState, Verdict
from tapwarden.model.report import ReportState
from tapwarden.model.user import Role

Record = Callable[..., dict[str, Any]]

PAGES = (
    "/",
    "/health",
    "/help",
    "/inbox",
    "/incidents",
    "/actions?tab=pending",
    "/actions?tab=active",
    "/orders",
    "/queries",
    "/search",
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_shows_itself_on_an_empty_installation(site: Any, path: str) -> None:
    answer = site.log_in(Role.VIEWER).get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_also_json_by_suffix_and_by_accept(site: Any, path: str) -> None:
    visit = site.log_in(Role.VIEWER)
    by_accept = visit.json(path)
    bare, _, query = path.partition("?")
    by_suffix = visit.get((bare if bare != "/" else "/home") + ".json" + (f"?{query}" if query else ""))
    assert by_suffix.json().keys() == by_accept.keys()


def test_the_shift_page_counts_groups_by_severity_and_links_each_number(site: Any, record: Record) -> None:
    site.add_alert(record(), count=5)
    visit = site.log_in(Role.ANALYST)
    assert visit.json("/")["severities"] == {"1": 1}
    assert 'href="/inbox?q=sev%3A1"' in visit.get("/").text


def test_archiving_takes_a_group_out_of_the_inbox_and_undo_brings_it_back(site: Any, record: Record) -> None:
    group = site.add_alert(record(), count=312)
    visit = site.log_in(Role.ANALYST)
    answer = visit.post("/inbox/triage", {"do": "archive", "group": group.id}, Accept="application/json").json()
    assert (answer["groups"], answer["alerts"]) == (1, 312)
    assert visit.json("/inbox")["groups"] == []
    assert [g["id"] for g in visit.json("/inbox?q=is:archived")["groups"]] == [group.id]
    visit.post("/inbox/undo", {})
    assert [g["id"] for g in visit.json("/inbox")["groups"]] == [group.id]


def test_undo_leaves_a_group_alone_that_somebody_changed_since(site: Any, record: Record) -> None:
    group = site.add_alert(record())
    visit = site.log_in(Role.ANALYST)
    visit.post("/inbox/triage", {"do": "archive", "group": group.id})
    site.desk.triage([group.id], state=GroupState.ESCALATED, by="colleague")
    answer = visit.post("/inbox/undo", {}, Accept="application/json").json()
    assert (answer["groups"], answer["skipped"]) == (0, 1)
    assert site.cases.group(group.id).state is GroupState.ESCALATED


def test_a_false_positive_is_a_verdict_not_only_an_archive(site: Any, record: Record) -> None:
    group = site.add_alert(record())
    site.log_in(Role.ANALYST).post("/inbox/triage", {"do": "false_positive", "group": group.id})
    assert site.cases.group(group.id).verdict is Verdict.FALSE_POSITIVE


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("@sid:2024001", 1),
        ("@ip:10.1.4.23 sev:1", 1),
        ("sev:>1", 0),
        ("-beacon", 0),
        ('"known gate"', 1),
        ("count:>=9", 0),
    ],
)
def test_the_filter_box_understands_eveboxs_words(site: Any, record: Record, query: str, found: int) -> None:
    site.add_alert(record(), count=5)
    page = site.log_in(Role.VIEWER).json(f"/inbox?q={query}")
    assert len(page["groups"]) == found
    assert page["problems"] == []


def test_the_inbox_pages_through_more_groups_than_fit(site: Any, record: Record) -> None:
    for n in range(60):
        site.add_alert(record(dest_ip=f"198.18.0.{n}"))
    visit = site.log_in(Role.VIEWER)
    first, second = visit.json("/inbox"), visit.json("/inbox?offset=50")
    assert (len(first["groups"]), first["more"], len(second["groups"]), second["more"]) == (50, True, 10, False)


def test_the_event_page_says_what_happened_and_shows_rule_payload_and_related_events(
    site: Any, record: Record, event_of: Callable[..., Any]
) -> None:
    group = site.add_alert(record())
    flow = {**record(), "event_type": "flow", "flow": {"state": "closed", "bytes_toserver": 900, "bytes_toclient": 20}}
    del flow["alert"]
    site.events.append([event_of(flow)])
    page = site.log_in(Role.VIEWER).get(f"/events/{group.event_id}").text
    assert "MALWARE Beacon to known gate: 10.1.4.23:49152 → 198.18.7.9:80 over TCP/HTTP" in page
    assert "sid:2024001;)" in page
    assert "47 45 54 20 2f 67 61 74" in page  # "GET /gat"
    assert "closed: 900 octets sent, 20 received" in page


def test_an_event_that_is_not_there_is_a_404_that_says_why(site: Any) -> None:
    answer = site.log_in(Role.VIEWER).get("/events/00ff")
    assert answer.status_code == 404
    assert "retention" in answer.text


def test_an_alert_with_packets_offers_them_as_a_file_to_those_who_are_logged_in(
    site: Any, record: Record, tmp_path: Any
) -> None:
    bare, group = site.add_alert(record(dest_ip="198.18.7.10")), site.add_alert(record())
    event = site.events.get(group.event_id)
    folder = EvidenceFolder(tmp_path / "evidence")
    kept = folder.keep(FlowPackets(event.eve.get("flow_id", 1), True, [Frame(1, 60, 1, bytes(60))]), [event])
    visit = site.log_in(Role.VIEWER)
    page = visit.get(f"/events/{group.event_id}").text
    assert f'href="/events/{group.event_id}/packets"' in page
    assert kept.sha256 in page
    saved = visit.get(f"/events/{group.event_id}/packets")
    assert saved.content == folder.read(kept)
    assert saved.headers["content-disposition"] == f'attachment; filename="{group.event_id}.pcapng"'
    assert "/packets" not in visit.get(f"/events/{bare.event_id}").text
    assert visit.get(f"/events/{bare.event_id}/packets").status_code == 404
    assert httpx.get(f"{site.url}/events/{group.event_id}/packets").status_code in {303, 401}


def test_search_finds_by_field_counts_and_pages(site: Any, record: Record, event_of: Callable[..., Any]) -> None:
    events = [event_of(record(at=site.clock.now() - timedelta(seconds=n + 1), src_port=1000 + n)) for n in range(130)]
    site.events.append(events)
    visit = site.log_in(Role.VIEWER)
    first = visit.json("/search?address=10.1.4.0/24&kinds=alert")
    assert (first["total"], len(first["events"])) == (130, 100)
    second = visit.json("/search?address=10.1.4.0/24&kinds=alert&cursor=" + first["next_cursor"])
    assert len(second["events"]) == 30
    assert visit.json("/search?domain=evil.example")["total"] == 130
    assert visit.json("/search?port=81")["total"] == 0


def test_search_names_the_field_it_cannot_read(site: Any) -> None:
    page = site.log_in(Role.VIEWER).json("/search?address=10.1.4.999&port=70000&since=yesterday")
    assert set(page["problems"]) == {"address", "port", "since"}


def test_an_empty_search_says_whether_it_is_the_range_or_the_store(site: Any, record: Record) -> None:
    visit = site.log_in(Role.VIEWER)
    assert "No event was ever stored" in visit.get("/search").text
    site.add_alert(record(at=site.clock.now() - timedelta(days=2)))
    assert "In the range 1h" in visit.get("/search?range=1h").text


def test_an_incident_runs_from_selection_to_signed_report(site: Any, record: Record) -> None:
    group = site.add_alert(record(), badges=("c2.evil.example",))
    visit = site.log_in(Role.APPROVER)
    assert "MALWARE Beacon to known gate" in visit.get(f"/incidents/new?group={group.id}").text
    fields = {"title": "Beacon", "severity": "1", "threat_class": "malicious_program", "group": group.id}
    incident_id = visit.post("/incidents", fields, Accept="application/json").json()["id"]
    page = visit.json(f"/incidents/{incident_id}")
    assert page["clocks"][0]["level"] == "calm"
    report = page["reports"][0]
    edited = {"version": "1", "body.summary": "A host <b>beacons</b>", "body.report_id": "forged"}
    visit.post(f"/reports/{report['id']}/edit", edited)
    assert site.cases.report(report["id"]).body["summary"] == "A host <b>beacons</b>"
    assert site.cases.report(report["id"]).body["report_id"] == report["id"]
    assert visit.post(f"/reports/{report['id']}/edit", edited).status_code == 409, "an old version must not win"
    visit.post(f"/reports/{report['id']}/sign-off", {"version": "2"})
    assert site.cases.report(report["id"]).state is ReportState.READY


def test_the_clock_warns_at_half_and_is_overdue_after_its_due_time(site: Any, record: Record) -> None:
    group = site.add_alert(record())
    visit = site.log_in(Role.ANALYST)
    fields = {"title": "Beacon", "severity": "1", "group": group.id}
    incident_id = visit.post("/incidents", fields, Accept="application/json").json()["id"]
    levels = []
    for hours in (13, 6, 4, 2):
        site.clock.move(hours=hours)
        again = site.log_in(Role.ANALYST)
        levels.append(again.json(f"/incidents/{incident_id}")["clocks"][0]["level"])
    assert levels == ["watch", "warning", "critical", "overdue"]
    assert "overdue" in site.log_in(Role.ANALYST).get("/").text


def decision_fields(**changes: str) -> dict[str, str]:
    return {
        "measure": "block",
        "targets": "198.18.7.9",
        "reason": "beacon",
        "legal_basis": "policy 4",
        "scope": "site",
        "duration": "24h",
        **changes,
    }


@pytest.fixture
def incident_id(site: Any, record: Record) -> str:
    group = site.add_alert(record())
    opened = site.log_in(Role.ANALYST).post(
        "/incidents", {"title": "Beacon", "severity": "1", "group": group.id}, Accept="application/json"
    )
    return str(opened.json()["id"])


def test_the_preview_says_what_the_guard_says_before_anything_is_decided(site: Any, incident_id: str) -> None:
    visit = site.log_in(Role.ANALYST)
    page = visit.json(f"/incidents/{incident_id}/decide?targets=192.0.2.1,198.18.7.9")
    assert page["preview"]["refused"] == ["192.0.2.1: 192.0.2.1 is protected [never_block: 192.0.2.1]"]
    assert page["preview"]["flows"] == 0
    assert site.cases.actions() == []


def test_a_decided_block_is_active_until_it_is_rolled_back_with_a_reason(site: Any, incident_id: str) -> None:
    visit = site.log_in(Role.APPROVER)
    visit.post(f"/incidents/{incident_id}/decide", decision_fields())
    (action,) = visit.json("/actions?tab=active")["actions"]
    assert action["target"] == {"type": "address", "value": "198.18.7.9"}
    assert "dry run" in visit.get("/actions?tab=active").text
    assert visit.post("/actions/rollback", {"action": action["id"]}).status_code == 400
    visit.post("/actions/rollback", {"action": action["id"], "reason": "wrong host"})
    assert site.cases.action(action["id"]).state is ActionState.ROLLED_BACK


def test_a_measure_that_reaches_far_waits_until_somebody_else_approves_or_rejects_it(
    site: Any, incident_id: str
) -> None:
    asker, other = site.log_in(Role.APPROVER), site.log_in(Role.ADMIN)
    for target, verdict in (("198.18.0.0/24", "approve"), ("2001:db8:7::/48", "reject")):
        answer = asker.post(f"/incidents/{incident_id}/decide", decision_fields(targets=target))
        assert answer.status_code == 303
        (action,) = asker.json("/actions?tab=pending")["actions"]
        assert "waits for 1 more person" in action["detail"]
        form = {"action": action["id"], "verdict": verdict, "reason": "seen"}
        assert asker.post("/actions/approve", {**form, "verdict": "approve"}).status_code == 409
        assert other.post("/actions/approve", form).status_code == 303
        after = site.cases.action(action["id"])
        assert after.state is (ActionState.APPROVED if verdict == "approve" else ActionState.ROLLED_BACK)
        assert site.log_in(Role.ANALYST).post("/actions/approve", form).status_code == 403


@pytest.mark.parametrize("field", ["reason", "legal_basis", "scope", "targets"])
def test_a_decision_without_reason_basis_scope_or_target_is_not_taken(site: Any, incident_id: str, field: str) -> None:
    answer = site.log_in(Role.APPROVER).post(f"/incidents/{incident_id}/decide", decision_fields(**{field: " "}))
    assert answer.status_code == 400
    assert site.cases.actions() == []


def test_one_unreadable_target_stops_the_whole_decision(site: Any, incident_id: str) -> None:
    answer = site.log_in(Role.APPROVER).post(
        f"/incidents/{incident_id}/decide", decision_fields(targets="198.18.7.9\nnot a; name")
    )
    assert answer.status_code == 400
    assert site.cases.actions() == []


def test_the_home_page_shows_the_alerts_of_an_old_capture_and_says_so(site: Any, record: Record) -> None:
    old = site.clock.now() - timedelta(days=60)
    for minute in range(5):
        site.add_alert(record(at=old + timedelta(minutes=minute * 3), src_port=4000 + minute))
    page = site.log_in(Role.VIEWER).get("/").text
    assert "Alerts up to the newest event" in page
    assert "5 alerts of 5 events" in page
    assert page.count('class="bar"') == 5


def test_the_home_page_lives_when_the_event_store_is_down(
    site: Any, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_alert(record())

    def down(*_: Any, **__: Any) -> None:
        raise StoreError("disk is full")

    for name in ("histogram", "count", "status", "search"):
        monkeypatch.setattr(site.events, name, down)
    visit = site.log_in(Role.VIEWER)
    page = visit.get("/").text
    assert "The event store is down: disk is full" in page
    assert "MALWARE Beacon to known gate" in page
    assert "disk is full" in visit.get("/search").text
