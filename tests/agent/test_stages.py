"""Reports of all stages and profiles: each is drafted when its clock begins, signed off by its own rules."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.model.errors import RefusedError
from tapwarden.model.incident import AlertGroup, Incident, ThreatClass
from tapwarden.model.report import ReportState

NOW = datetime.now(UTC)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    settings = {
        "reporting": {
            "organisation": "Example",
            "responsible": "Ann",
            "contact": {"phone": "+1"},
            "also": ["eu-nis2", "cn-nir-2025"],
            "receivers": [{"name": "csirt", "channel": "drop", "folder": "out", "profiles": ["eu-nis2"]}],
        }
    }
    with composed(Config.model_validate(settings), Layout.at(tmp_path)) as made:
        yield made


def opened(parts: Parts) -> Incident:
    group = AlertGroup("g1", 1, 1, "beacon", "c2", 1, "10.0.0.5", "198.51.100.9", 1, NOW, NOW, "e")
    (stored,) = parts.cases.merge_groups([group])
    return parts.desk.open_incident([stored.id], title="t", threat_class=ThreatClass.EVENT, severity=1, by="ann")


def test_a_profile_that_comes_to_apply_has_its_reports_drafted_for_its_own_receiver(parts: Parts) -> None:
    one = opened(parts)
    assert {(r.profile, r.stage_id) for r in parts.cases.reports(incident_id=one.id)} == {("generic-24h", "initial")}
    parts.handling.stamp(one.id, name="significant", at=NOW, by="ann")
    parts.handling.assess(one.id, facts={"significant": "yes", "malicious": "unknown"}, by="ann")
    reports = {(r.profile, r.stage_id): r for r in parts.cases.reports(incident_id=one.id)}
    warning = reports["eu-nis2", "early_warning"]
    assert (warning.receiver, warning.due_at) == ("csirt", NOW + timedelta(hours=24))
    assert warning.body["suspected_malicious"] == "unknown", "unknown is an answer; the key is there"
    assert parts.desk.sign_off(warning.id, by="ann").state is ReportState.READY
    parts.handling.assess(one.id, facts={"place": "Hall 2"}, by="ann")
    assert len(parts.cases.reports(incident_id=one.id)) == len(reports), "nothing is drafted twice"


def test_closing_drafts_the_final_report_with_the_timeline(parts: Parts) -> None:
    one = opened(parts)
    parts.desk.close_incident(one.id, by="ann", reason="cleaned")
    final = next(r for r in parts.cases.reports(incident_id=one.id) if r.stage_id == "final")
    assert [entry["name"] for entry in final.body["timeline"]][-1] == "closed"
    assert final.body["root_cause"] == "unknown"
    parts.desk.edit_report(final.id, {**final.body, "root_cause": ""}, by="ann")
    with pytest.raises(RefusedError, match="lacks root_cause"):
        parts.desk.sign_off(final.id, by="ann")
    parts.handling.stamp(one.id, name="handled", at=NOW, by="ann")
    again = parts.desk.redraft(final.id, by="ann")
    assert (again.body["root_cause"], again.version) == ("unknown", 3)


def test_a_material_change_drafts_an_update(parts: Parts) -> None:
    one = opened(parts)
    parts.handling.stamp(one.id, name="changed", at=NOW, text="twelve more hosts", by="ann")
    update = next(r for r in parts.cases.reports(incident_id=one.id) if r.stage_id == "update")
    assert any("twelve more hosts" in line for line in update.body["changes"])
