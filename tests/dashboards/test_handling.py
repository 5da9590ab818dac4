"""An incident's page: what people say about it there, by role, and the same as JSON."""

from typing import Any

from tapwarden.model.incident import Incident, ThreatClass
from tapwarden.model.report import Departure
from tapwarden.model.user import Role


def an_incident(site: Any) -> Incident:
    eve = {
        "timestamp": "2026-11-24T08:00:00+00:00",
        "event_type": "alert",
        "src_ip": "10.0.0.5",
        "dest_ip": "198.51.100.9",
        "alert": {"signature_id": 1, "signature": "beacon <b>", "severity": 1},
    }
    group = site.add_alert(eve)
    other = site.add_alert({**eve, "src_ip": "10.0.0.6"})
    return site.desk.open_incident(
        [group.id, other.id], title="t", threat_class=ThreatClass.EVENT, severity=1, by="policy:x"
    )


def test_everything_said_about_an_incident_is_on_its_page_and_in_its_json(site: Any) -> None:
    incident, visit = an_incident(site), site.log_in(Role.APPROVER)
    path = f"/incidents/{incident.id}"
    for what, fields in {
        "classify": {"subtype": "malicious_program:ransomware"},
        "assign": {"responsible": "Li Wei"},
        "assess": {"fact.people_data": "1,200,000", "fact.cii": "yes", "fact.loss_cny": "unknown", "fact.place": "<i>"},
        "stamp": {"name": "significant", "at": "2026-11-24T08:10:00Z"},
        "note": {"text": "called the owner"},
        "submit": {},
    }.items():
        answer = visit.post(f"{path}/{what}", fields, Accept="application/json")
        assert answer.status_code == 200, answer.text
    shown = visit.json(path)
    told = shown["incident"]
    assert (told["threat_class"], told["subtype"], told["responsible"]) == ("malicious_program", "ransomware", "Li Wei")
    assert told["facts"] == {"people_data": 1_200_000, "cii": True, "loss_cny": "unknown", "place": "<i>"}
    assert shown["grades"]["cn-nir-2025"]["word"] == "relatively-large"
    assert told["state"] == "submitted"
    page = visit.get(path).text
    for text in ("relatively-large", "ransomware", "Li Wei", "called the owner", "&lt;i&gt;"):
        assert text in page, text


def test_what_the_rules_refuse_is_said_and_a_reader_may_not_handle(site: Any) -> None:
    incident, visit = an_incident(site), site.log_in(Role.APPROVER)
    path = f"/incidents/{incident.id}"
    visit.post(f"{path}/submit", {}, Accept="application/json")
    answer = visit.post(f"{path}/determine", {"state": "confirmed", "reason": "seen"}, Accept="application/json")
    assert answer.status_code == 409
    assert "somebody else" in answer.text
    assert (
        visit.post(
            f"{path}/stamp", {"name": "detected", "at": "2026-11-24T07:00:00Z"}, Accept="application/json"
        ).status_code
        == 409
    )
    assert visit.post("/incidents/none/note", {"text": "x"}, Accept="application/json").status_code == 404
    reader = site.log_in(Role.VIEWER)
    assert reader.post(f"{path}/note", {"text": "x"}, Accept="application/json").status_code == 403


def test_an_incident_is_split_and_merged_on_its_page(site: Any) -> None:
    incident, visit = an_incident(site), site.log_in(Role.ANALYST)
    path = f"/incidents/{incident.id}"
    made = visit.post(
        f"{path}/split", {"group": incident.group_ids[0], "reason": "another matter"}, Accept="application/json"
    ).json()["incident"]
    assert made["group_ids"] == [incident.group_ids[0]]
    merged = visit.post(
        f"{path}/merge", {"other": made["id"], "reason": "it was one"}, Accept="application/json"
    ).json()["incident"]
    assert set(merged["group_ids"]) == set(incident.group_ids)
    assert visit.json(f"/incidents/{made['id']}")["incident"]["related"][-1] == ["merged_into", incident.id]


def test_the_pages_of_reporting_show_what_left_figures_requirements_and_drills(site: Any) -> None:
    an_incident(site)
    site.cases.put_departure(
        Departure(
            id="r1/1",
            at=site.clock.now(),
            report_id="r1",
            incident_id="i1",
            receiver="<csirt>",
            channel="drop",
            format="iodef",
            octets=4096,
            sha256="ab" * 32,
            tlp="AMBER",
            withheld=("evidence",),
            pseudonyms=3,
        )
    )
    visit = site.log_in(Role.VIEWER)
    left = visit.get("/departures").text
    assert "&lt;csirt&gt;" in left
    assert "3 internal addresses as pseudonyms" in left
    assert visit.json("/departures")["rows"][0]["sha256"] == "ab" * 32
    figures = visit.json("/statistics?period=week")["figures"]
    assert (figures["incidents"], figures["by_class"]) == (1, {"event": {"unknown": 1}})
    for path in ("/statistics", "/statistics?period=day&at=2026-11-24", "/compliance", "/drills"):
        assert visit.get(path).status_code == 200, path
    assert visit.get("/statistics?at=nonsense").status_code == 400


def test_a_report_is_had_in_every_format_as_a_file(site: Any) -> None:
    incident, visit = an_incident(site), site.log_in(Role.VIEWER)
    (report,) = site.cases.reports(incident_id=incident.id)
    for name in ("json", "stix", "iodef", "misp", "csv", "html-zh"):
        answer = visit.get(f"/reports/{report.id}/export?format={name}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"].startswith("attachment")
    assert visit.get(f"/reports/{report.id}/export?format=docx").status_code == 404
    assert f"/reports/{report.id}/export?format=pdf" in visit.get(f"/reports/{report.id}").text
