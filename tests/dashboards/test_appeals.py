"""Complaints and answers to notices: from people without an account to those who decide, over the real stores."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tapwarden.mitigation.notify.messages import Message, MessageState
from tapwarden.model.decision import Action, ActionState, Measure, Target, TargetType
from tapwarden.model.incident import Incident, ThreatClass
from tapwarden.model.user import Role

ABOUT = "198.51.100.9 and bad.example"


def incident_of(site: Any) -> Incident:
    group = site.add_alert(
        {
            "timestamp": "2026-11-24T08:00:00+00:00",
            "event_type": "alert",
            "src_ip": "10.0.0.5",
            "dest_ip": "198.51.100.9",
            "alert": {"signature_id": 1, "signature": "beacon", "severity": 1},
        }
    )
    made: Incident = site.desk.open_incident(
        [group.id], title="t", threat_class=ThreatClass.EVENT, severity=1, by="policy:x"
    )
    return made


def block(site: Any, incident: Incident, address: str, by: str = "anna") -> Action:
    (action,) = site.desk.decide(
        incident.id,
        measure=Measure.BLOCK,
        targets=[Target(TargetType.ADDRESS, address)],
        scope="here",
        reason="seen",
        legal_basis="policy 4",
        duration_s=3600,
        by=by,
    )
    made: Action = action
    return made


def complain(http: httpx.Client, **changes: str) -> httpx.Response:
    form = http.get("/complaint.json").json()
    fields = {"csrf": form["form_csrf"], "about": ABOUT, "grounds": "it is my shop", "who": "Wang", "contact": "w@x.cn"}
    return http.post("/complaint.json", data={**fields, **changes})


def test_a_complaint_gets_a_number_a_due_date_and_a_page_that_only_its_link_leads_to(site: Any) -> None:
    http = site.browse().http
    told = complain(http, grounds="<script>alert(1)</script>").json()
    assert re.fullmatch(r"20261124-001-\d{4}", told["number"])
    assert told["answer_due"] == "2027-01-05T23:59:59.000Z"  # 30 working days after Tuesday 2026-11-24
    page = http.get(told["location"])
    assert page.status_code == 200
    assert told["number"] in page.text
    assert "being examined" in page.text
    assert "Wang" not in page.text
    assert http.get("/complaint/" + "x" * 43).status_code == 404
    assert "&lt;script&gt;" in site.log_in(Role.APPROVER).get(f"/appeals/{told['number']}").text


def test_one_person_lifts_what_a_complaint_is_about_and_blocking_it_again_takes_two(site: Any) -> None:
    incident = incident_of(site)
    action = block(site, incident, "198.51.100.9")
    other = block(site, incident, "198.51.100.77")
    due = [report.due_at for report in site.cases.reports(incident_id=incident.id)]
    told = complain(site.browse().http).json()
    visit = site.log_in(Role.APPROVER)
    path = f"/appeals/{told['number']}"
    assert [one["id"] for one in visit.json(path)["concerned"]] == [action.id]
    assert visit.post(f"{path}/lift", {"id": action.id, "reason": ""}, Accept="application/json").status_code == 409
    lifted = visit.post(f"{path}/lift", {"id": action.id, "reason": "it may be shared"}, Accept="application/json")
    assert lifted.json()["appeal"]["lifted"] == ["address 198.51.100.9"]
    assert site.cases.action(action.id).state is ActionState.ROLLED_BACK
    assert site.cases.action(other.id).state is ActionState.APPROVED
    again = block(site, incident, "198.51.100.9", by="bert")
    assert again.state is ActionState.SIMULATED
    assert "let go because of a complaint" in again.detail
    (approved,) = site.desk.approve(again.decision_id, by="carla")
    assert approved.state is ActionState.APPROVED
    assert [report.due_at for report in site.cases.reports(incident_id=incident.id)] == due  # no clock stopped


def test_an_answer_has_reasons_ends_the_complaint_and_is_on_its_status_page(site: Any) -> None:
    incident = incident_of(site)
    action = block(site, incident, "198.51.100.9")
    http = site.browse().http
    told = complain(http).json()
    visit = site.log_in(Role.APPROVER)
    path = f"/appeals/{told['number']}/answer"
    assert visit.post(path, {"granted": "true", "reasons": " "}, Accept="application/json").status_code == 409
    answer = visit.post(path, {"granted": "true", "reasons": "wrong list entry"}, Accept="application/json")
    assert answer.json()["appeal"]["state"] == "granted"
    assert site.cases.action(action.id).state is ActionState.ROLLED_BACK
    assert visit.post(path, {"granted": "", "reasons": "no"}, Accept="application/json").status_code == 409
    assert "wrong list entry" in http.get(told["location"]).text
    verbs = [record.verb for record in site.cases.audit_records(subject=answer.json()["appeal"]["id"])]
    assert verbs == ["appeal.answer", "appeal.lift", "appeal.file"]
    assert visit.json("/appeals")["appeals"] == []


def test_after_a_rejection_one_person_decides_again(site: Any) -> None:
    incident = incident_of(site)
    action = block(site, incident, "198.51.100.9")
    number = complain(site.browse().http).json()["number"]
    site.appeals.lift(number, [action.id], by="anna", reason="to be seen")
    site.appeals.answer(number, granted=False, reasons="it is a control server", by="anna")
    assert block(site, incident, "198.51.100.9").state is ActionState.APPROVED


def test_who_only_reads_may_not_answer_and_who_is_nobody_may_not_see(site: Any) -> None:
    number = complain(site.browse().http).json()["number"]
    viewer = site.log_in(Role.VIEWER)
    assert viewer.get(f"/appeals/{number}").status_code == 200
    answer = viewer.post(f"/appeals/{number}/answer", {"reasons": "x"}, Accept="application/json")
    assert answer.status_code == 403
    assert site.browse().http.get("/appeals.json").status_code == 401


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"csrf": "x"}, 403),
        ({"about": " "}, 400),
        ({"grounds": ""}, 400),
        ({"grounds": "x" * 5001}, 400),
        ({"about": "x" * 501}, 400),
    ],
)
def test_a_form_that_is_not_ours_or_not_whole_is_not_taken(site: Any, changes: dict[str, str], status: int) -> None:
    assert complain(site.browse().http, **changes).status_code == status
    assert site.appeals.appeals() == []


def test_from_another_site_and_too_often_nothing_is_taken(site: Any) -> None:
    http = site.browse().http
    form = http.get("/complaint.json").json()
    fields = {"csrf": form["form_csrf"], "about": "a", "grounds": "b"}
    assert http.post("/complaint", data=fields, headers={"Origin": "https://evil.example"}).status_code == 403
    answers = [complain(http).status_code for _ in range(6)]
    assert answers == [201] * 5 + [429]
    site.clock.move(hours=1, seconds=1)
    assert [complain(http).status_code for _ in range(4)] == [201, 201, 201, 409]  # eight a day in all
    site.clock.move(days=1)
    assert complain(http).status_code == 201


def test_what_was_done_long_ago_is_complained_of_late_and_taken_all_the_same(site: Any) -> None:
    block(site, incident_of(site), "198.51.100.9")
    action = site.cases.actions()[0]
    site.clock.move(days=15)
    site.cases.put_action(
        Action(
            **{
                **{name: getattr(action, name) for name in Action.__slots__},
                "expires_at": site.clock.now() + timedelta(1),
            }
        )
    )
    number = complain(site.browse().http).json()["number"]
    assert site.appeals.appeal(number).late


def test_a_recipient_of_a_notice_answers_on_the_incident_without_an_account(site: Any) -> None:
    incident = incident_of(site)
    now = site.clock.now().timestamp()
    said = ("msg-1", "act-1", incident.id, "Hosting", "address", "198.51.100.9", "beacon", "")
    site.notify.messages.add([Message(*said, MessageState.TAKEN, now, now + 3600)])
    token, http = site.notify.tokens.make("msg-1", now + 3600), site.browse().http
    page = http.get(f"/reply/{token}")
    assert "198.51.100.9" in page.text
    form = {
        "csrf": http.get(f"/reply/{token}.json").json()["form_csrf"],
        "answer": "done",
        "text": "host <b>cleaned</b>\nX",
    }
    assert http.post(f"/reply/{token[:-3]}AAA", data=form).status_code == 404
    assert http.post(f"/reply/{token}", data={**form, "csrf": ""}).status_code == 403
    form["csrf"] = http.get(f"/reply/{token}.json").json()["form_csrf"]
    assert http.post(f"/reply/{token}", data={**form, "answer": "whatever"}).status_code == 404
    form["csrf"] = http.get(f"/reply/{token}.json").json()["form_csrf"]
    assert http.post(f"/reply/{token}", data=form).status_code == 303
    entry = site.cases.incident(incident.id).timeline[-1]
    assert (entry.name, entry.text) == ("reply", "198.51.100.9: done: host <b>cleaned</b> X")
    assert entry.by == "Hosting (reply link)"
    assert "&lt;b&gt;" in http.get(f"/reply/{token}").text
    site.clock.move(hours=2)
    assert http.get(f"/reply/{token}").status_code == 404
