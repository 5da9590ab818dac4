"""Alerts become sightings, sightings become matters, matters become incidents: pure functions on literals."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.enrich import ENRICHMENTS, SeenNames
from tapwarden.agent.triage.grouping import Sighting, group_alerts
from tapwarden.agent.triage.opening import joined, open_incident_of, opened
from tapwarden.agent.triage.policy import Policy, StandingDecision, matters
from tapwarden.model.decision import Measure, Target, TargetType
from tapwarden.model.event import Event
from tapwarden.model.incident import Incident, ThreatClass

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BLOCK = StandingDecision(Measure.BLOCK, "dest", "this host", "known server", "policy 4", timedelta(hours=4))


def event(kind: str = "alert", **fields: Any) -> Event:
    record = {"timestamp": NOW.isoformat(), "event_type": kind, "flow_id": 7, "src_ip": "10.0.0.5", **fields}
    return Event(json.dumps(record).encode(), origin=str(sorted(fields.items(), key=str)))


def alert(sid: int = 1, dest: str = "192.0.2.9", severity: int = 2, **fields: Any) -> Event:
    signature = {"signature_id": sid, "gid": 1, "signature": f"rule {sid}", "category": "Trojan", "severity": severity}
    return event(dest_ip=dest, alert=signature, **fields)


def sightings(*events: Event) -> list[Sighting]:
    names = SeenNames()
    for item in events:
        names.observe(item)
    return list(group_alerts(events, names.badges))


def ours(address: str) -> bool:
    return address.startswith("10.")


def incident_of(found: list[Sighting], policy: Policy) -> Incident:
    matter = matters(found, [policy], ours)[0]
    return opened(
        matter.groups,
        incident_id="i1",
        title="t",
        threat_class=ThreatClass.EVENT,
        severity=2,
        by=policy.opened_by,
        now=NOW,
        detected_at=NOW,
        due_after=timedelta(hours=24),
        profile="generic-24h",
        ours=ours,
        subject=matter.subject,
    )


def test_alerts_with_the_same_rule_source_and_destination_are_one_sighting() -> None:
    later = (NOW + timedelta(seconds=9)).isoformat()
    found = sightings(alert(), alert(timestamp=later), alert(dest="192.0.2.10"), event("flow"))
    assert [(s.group.dest_ip, s.group.count) for s in found] == [("192.0.2.9", 2), ("192.0.2.10", 1)]
    assert found[0].group.last_seen - found[0].group.first_seen == timedelta(seconds=9)


def test_one_host_in_two_spellings_is_one_sighting() -> None:
    assert len(sightings(alert(dest="::ffff:192.0.2.9"), alert())) == 1


def test_badges_come_from_the_alert_its_flow_and_what_its_peer_resolved_to() -> None:
    dns = event("dns", dns={"rrname": "C2.Example.", "grouped": {"A": ["192.0.2.9"]}})
    tls = event("tls", tls={"sni": "front.example"})
    found = sightings(dns, tls, alert(http={"hostname": "host.example"}))
    assert found[0].group.badges == ("host.example", "front.example", "c2.example")


def test_the_memory_of_names_is_bounded_and_counts_what_it_forgot() -> None:
    names = SeenNames(max_flows=2)
    for flow in range(5):
        names.observe(event("tls", flow_id=flow, tls={"sni": f"n{flow}.example"}))
    assert names.forgotten == 3
    assert names.badges(event(flow_id=0)) == ()
    assert names.badges(event(flow_id=4)) == ("n4.example",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rrname", "sni", "grouped", "A", "answers", "query", "signature_id", "source", "indicator"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    st.sampled_from(["alert", "dns", "tls"]),
    st.dictionaries(
        st.sampled_from(["alert", "dns", "tls", "http", "flow_id", "src_ip", "dest_ip", "tapwarden", "timestamp"]), JSON
    ),
)
def test_records_of_any_shape_never_fail(kind: str, fields: dict[str, Any]) -> None:
    item = Event(json.dumps({"event_type": kind, **fields}).encode())
    for make in ENRICHMENTS.values():
        enrichment = make()
        enrichment.observe(item)
        group_alerts([item], enrichment.badges)


def test_all_conditions_of_a_policy_have_to_hold() -> None:
    (found,) = sightings(alert(sid=5, severity=2, tapwarden={"indicator": {"source": "feed"}}))
    policy = Policy(
        "p", frozenset({5}), severity=2, signature="RULE", category="troj", indicator_source="feed", decide=BLOCK
    )
    assert policy.concerns(found)
    for change in (
        {"sids": frozenset({6})},
        {"severity": 1},
        {"signature": "x"},
        {"category": "x"},
        {"indicator_source": "x"},
        {"min_count": 2},
    ):
        assert not replace(policy, **change).concerns(found), change


def test_a_policy_makes_one_matter_of_all_groups_with_the_same_target() -> None:
    found = sightings(alert(1), alert(2), alert(3, dest="192.0.2.10"))
    made = matters(found, [Policy("p", decide=BLOCK)], ours)
    assert [(m.subject, len(m.groups)) for m in made] == [("192.0.2.9", 2), ("192.0.2.10", 1)]
    assert made[0].target == Target(TargetType.ADDRESS, "192.0.2.9")


def test_a_policy_on_connections_acts_on_each_once_whichever_side_the_packet_came_from() -> None:
    cut = Policy("p", decide=replace(BLOCK, measure=Measure.RESET, targets="connection"))
    flow = {"flow": {"src_ip": "10.0.0.5", "dest_ip": "192.0.2.9"}, "proto": "TCP"}
    there = alert(src_port=4001, dest_port=443, **flow)
    back = alert(dest="10.0.0.5", **{**flow, "src_ip": "192.0.2.9", "src_port": 443, "dest_port": 4001})
    other = alert(src_port=4002, dest_port=443, **flow)
    made = matters(sightings(there, back, other, alert(src_port=None, dest_port=1, proto="TCP")), [cut], ours)
    ends = ("10.0.0.5:4001-192.0.2.9:443/tcp", "10.0.0.5:4002-192.0.2.9:443/tcp")
    assert [m.target for m in made] == [Target(TargetType.CONNECTION, end) for end in ends]
    assert {m.subject for m in made} == {"10.0.0.5"}


def test_a_policy_on_names_takes_only_the_most_telling_name_and_only_opens_where_there_is_none() -> None:
    domains = Policy("p", decide=replace(BLOCK, targets="domain"))
    assert [m.target for m in matters(sightings(alert()), [domains], ours)] == [None]
    made = matters(
        sightings(alert(dns={"query": [{"rrname": "bad.example"}]}, tls={"sni": "other.example"})), [domains], ours
    )
    assert [m.target for m in made] == [Target(TargetType.DOMAIN, "bad.example")]


def acted_on(targets: str, **fields: Any) -> list[str | None]:
    """The addresses a policy with these targets acts on, given one alert."""
    made = matters(sightings(event(**fields)), [Policy("p", decide=replace(BLOCK, targets=targets))], ours)
    return [matter.target.value if matter.target else None for matter in made]


OURS, C2 = "10.0.0.5", "192.0.2.9"
RULE = {"signature_id": 1, "signature": "beacon", "severity": 1}
REQUEST = {"src_ip": OURS, "dest_ip": C2, "alert": RULE}
RESPONSE = {"src_ip": C2, "dest_ip": OURS, "alert": RULE}
BEGAN = {"src_ip": OURS, "dest_ip": C2, "src_port": 40000, "dest_port": 80}


@pytest.mark.parametrize("told", [{"direction": "to_client"}, {"flow": BEGAN}, {"flow": BEGAN, "direction": "?"}])
@pytest.mark.parametrize(("targets", "acted"), [("dest", C2), ("src", OURS), ("attacker", C2)])
def test_an_alert_on_a_response_acts_on_the_side_of_the_session_not_of_the_packet(
    told: dict[str, Any], targets: str, acted: str
) -> None:
    assert acted_on(targets, **RESPONSE, **told) == [acted]


@pytest.mark.parametrize("targets", ["dest", "attacker"])
def test_a_policy_on_the_other_side_never_acts_on_our_client_where_the_direction_is_not_told(targets: str) -> None:
    assert acted_on(targets, **REQUEST) == [C2]
    assert OURS not in acted_on(targets, **RESPONSE)


def test_our_own_host_is_acted_on_where_the_policy_and_the_direction_say_so() -> None:
    """Quarantine: the infected host that began the session."""
    assert acted_on("src", **REQUEST, direction="to_server") == [OURS]
    assert acted_on("src", **REQUEST) == [None]
    # Both sides ours: nothing can be mistaken for a stranger.
    assert acted_on("dest", src_ip=OURS, dest_ip="10.0.0.9", alert=RULE) == ["10.0.0.9"]


def test_the_rule_says_who_the_attacker_is() -> None:
    """`target:dest_ip` on an attack that comes from inside; what the record names has to be a side of it."""
    inside = {"source": {"ip": OURS}, "target": {"ip": "10.0.0.9"}}
    assert acted_on("attacker", src_ip=OURS, dest_ip="10.0.0.9", alert={**RULE, **inside}) == [OURS]
    assert acted_on("attacker", src_ip=OURS, dest_ip="10.0.0.9", alert=RULE) == [None]
    assert acted_on("attacker", **{**REQUEST, "alert": {**RULE, "source": {"ip": "198.51.100.1"}}}) == [C2]


def test_a_matter_with_an_open_incident_finds_it_until_it_is_closed() -> None:
    policy = Policy("p", decide=BLOCK)
    found = sightings(alert())
    incident = incident_of(found, policy)
    matter = matters(found, [policy], ours)[0]
    assert open_incident_of(matter, [incident]) is incident
    assert open_incident_of(matter, [replace(incident, closed_at=NOW)]) is None
    assert open_incident_of(matter, [replace(incident, opened_by="policy:q")]) is None


def test_an_incident_knows_its_clock_its_affected_hosts_and_what_to_act_on() -> None:
    incident = incident_of(sightings(alert(http={"hostname": "c2.example"})), Policy("p", decide=BLOCK))
    assert incident.due_at - incident.detected_at == timedelta(hours=24)
    assert incident.affected == ("10.0.0.5",)
    assert incident.indicators == ("192.0.2.9", "c2.example")
    assert [entry.name for entry in incident.timeline] == ["occurred", "detected", "aware"]


def test_further_groups_join_once_and_the_timeline_says_so() -> None:
    policy = Policy("p", decide=BLOCK)
    incident = incident_of(sightings(alert(1)), policy)
    new = [s.group for s in sightings(alert(2, src_ip="10.0.0.6"))]
    grown = joined(incident, new, now=NOW, by="policy:p", ours=ours)
    assert grown.affected == ("10.0.0.5", "10.0.0.6")
    assert grown.timeline[-1].name == "joined"
    assert joined(grown, new, now=NOW, by="policy:p", ours=ours) is grown
