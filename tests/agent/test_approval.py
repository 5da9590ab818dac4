"""Who has to stand behind a decision: what reaches far waits for people, and what is on trial ends by itself."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from tapwarden.agent.composition import Parts, composed, new_id
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.desk import Means
from tapwarden.agent.desk.deciding import Deciding
from tapwarden.agent.foresight import foresee
from tapwarden.mitigation.guard import Guard, protect
from tapwarden.model.decision import Action, ActionState, Authority, AuthorityKind, Measure, Target, TargetType
from tapwarden.model.errors import RefusedError
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup, IncidentState, Ownership, ThreatClass

C2 = Target(TargetType.ADDRESS, "198.18.0.66")


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Callable[..., Parts]]:
    with ExitStack() as stack:

        def make(**mitigation: Any) -> Parts:
            config = Config.model_validate({"mitigation": mitigation})
            return stack.enter_context(composed(config, Layout.at(tmp_path)))

        yield make


def flow(source: str, target: str, port: int = 443, **fields: Any) -> Event:
    record = {
        "timestamp": datetime.now(UTC).isoformat(),
        "event_type": "flow",
        "flow_id": random.getrandbits(40),
        "src_ip": source,
        "src_port": 40000,
        "dest_ip": target,
        "dest_port": port,
        "proto": "TCP",
        **fields,
    }
    return Event(json.dumps(record).encode(), str(random.random()))


def look_up(source: str, name: str) -> Event:
    return flow(source, "10.9.9.9", 53, event_type="dns", proto="UDP", dns={"type": "query", "rrname": name})


def incident(parts: Parts) -> str:
    group_id = parts.cases.groups()[0].id if parts.cases.groups() else _a_group(parts)
    opened = parts.desk.open_incident([group_id], title="t", threat_class=ThreatClass.EVENT, severity=1, by="ann")
    return opened.id


def _a_group(parts: Parts) -> str:
    now = datetime.now(UTC)
    group = AlertGroup(
        id="g1",
        gid=1,
        sid=2_000_001,
        signature="beacon",
        category="c2",
        severity=1,
        src_ip="10.0.0.5",
        dest_ip=C2.value,
        count=1,
        first_seen=now,
        last_seen=now,
        event_id="0" * 32,
    )
    return parts.cases.merge_groups([group])[0].id


def decide(parts: Parts, incident_id: str, *targets: Target, **changes: Any) -> list[Action]:
    fields: dict[str, Any] = {
        "measure": Measure.BLOCK,
        "targets": targets or (C2,),
        "scope": "here",
        "reason": "c2",
        "legal_basis": "policy 3",
        "duration_s": 3600,
        "by": "ann",
    }
    return list(parts.desk.decide(incident_id, **{**fields, **changes}))


def states(actions: Any) -> set[ActionState]:
    return {action.state for action in actions}


def test_what_reaches_far_waits_for_somebody_else_and_nobody_approves_their_own(compose: Callable[..., Parts]) -> None:
    parts = compose(approval={"high_hosts": 3})
    parts.events.append([flow(f"10.0.0.{n}", C2.value) for n in range(1, 6)])
    actions = decide(parts, incident(parts))
    assert states(actions) == {ActionState.SIMULATED}
    assert "waits for 1 more person: 5 hosts had to do with it" in actions[0].detail
    decision_id = actions[0].decision_id
    with pytest.raises(RefusedError, match="nobody approves what they asked for"):
        parts.desk.approve(decision_id, by="ann")
    assert states(parts.desk.approve(decision_id, by="bob", note="seen")) == {ActionState.APPROVED}
    assert [(one.by, one.granted, one.note) for one in parts.cases.approvals(decision_id)] == [("bob", True, "seen")]
    with pytest.raises(RefusedError, match="does not wait"):
        parts.desk.approve(decision_id, by="cid")
    assert "approve" in {record.verb for record in parts.cases.audit_records(subject=decision_id)}


def test_nothing_but_a_notice_is_decided_in_a_third_partys_network(compose: Callable[..., Parts]) -> None:
    parts = compose()
    incident_id = incident(parts)
    parts.handling.attribute(incident_id, ownership=Ownership.THIRD_PARTY, by="ann", reason="the range is theirs")
    with pytest.raises(RefusedError, match="third party's network"):
        decide(parts, incident_id)
    assert list(parts.cases.actions()) == []


def test_what_was_done_is_undone_when_the_incident_is_rejected(compose: Callable[..., Parts]) -> None:
    parts = compose(mode="dry-run")
    incident_id = incident(parts)
    (action,) = decide(parts, incident_id)
    parts.handling.submit(incident_id, by="ann")
    rejected = parts.handling.determine(incident_id, state=IncidentState.REJECTED, by="cid", reason="a test host")
    assert rejected.state is IncidentState.REJECTED
    left = parts.cases.action(action.id)
    assert left is not None
    assert left.state is ActionState.ROLLED_BACK


def test_what_reaches_little_is_done_at_once(compose: Callable[..., Parts]) -> None:
    parts = compose()
    parts.events.append([flow("10.0.0.1", C2.value)])
    assert states(decide(parts, incident(parts))) == {ActionState.APPROVED}


def test_a_measure_that_always_takes_two_people_does(compose: Callable[..., Parts]) -> None:
    parts = compose(approval={"two_people": ["block"]})
    assert states(decide(parts, incident(parts))) == {ActionState.SIMULATED}


def test_a_wide_network_takes_two_people(compose: Callable[..., Parts]) -> None:
    parts = compose(approval={"high_addresses": 16})
    wide, narrow = Target(TargetType.NETWORK, "198.18.4.0/24"), Target(TargetType.NETWORK, "198.18.5.0/28")
    incident_id = incident(parts)
    assert states(decide(parts, incident_id, wide)) == {ActionState.SIMULATED}
    assert states(decide(parts, incident_id, narrow)) == {ActionState.APPROVED}


def test_cutting_off_a_protected_host_takes_an_override_and_somebody_else(compose: Callable[..., Parts]) -> None:
    parts = compose(never_block=["10.0.0.53"])
    parts.events.append([flow("10.0.0.53", C2.value), flow("10.0.0.7", C2.value)])
    incident_id = incident(parts)
    with pytest.raises(RefusedError, match="1 protected hosts had to do with it"):
        decide(parts, incident_id)
    assert list(parts.cases.decisions()) == []
    actions = decide(parts, incident_id, override=True)
    assert states(actions) == {ActionState.SIMULATED}
    assert states(parts.desk.approve(actions[0].decision_id, by="bob")) == {ActionState.APPROVED}


def test_a_rejected_decision_is_over_and_says_who_and_why(compose: Callable[..., Parts]) -> None:
    parts = compose(approval={"two_people": ["block"]})
    [action] = decide(parts, incident(parts))
    with pytest.raises(RefusedError, match="needs a reason"):
        parts.desk.reject(action.decision_id, by="bob", note=" ")
    [over] = parts.desk.reject(action.decision_id, by="bob", note="our own scanner")
    assert over.state is ActionState.ROLLED_BACK
    assert over.detail == "bob: rejected: our own scanner"
    with pytest.raises(RefusedError, match="does not wait"):
        parts.desk.approve(action.decision_id, by="cid")


def test_what_nobody_decides_on_in_time_expires(compose: Callable[..., Parts]) -> None:
    parts = compose(approval={"two_people": ["block"]})
    [action] = decide(parts, incident(parts))
    parts.ledger.reconcile(action.expires_at)
    expired = parts.cases.action(action.id)
    assert expired is not None
    assert expired.state is ActionState.EXPIRED
    assert "nobody decided in time" in expired.detail


def test_what_is_on_trial_is_undone_unless_somebody_confirms_it(compose: Callable[..., Parts]) -> None:
    parts = compose(approval={"two_people": ["block"], "confirm_within": "5m"})
    incident_id = incident(parts)
    kept, lost = (
        parts.desk.approve(decide(parts, incident_id, Target(TargetType.ADDRESS, address))[0].decision_id, by="bob")[0]
        for address in ("198.18.0.1", "198.18.0.2")
    )
    assert kept.confirm_by is not None
    assert kept.confirm_by - datetime.now(UTC) < timedelta(minutes=5)
    assert kept.in_effect_until == kept.confirm_by, "the kernel itself ends it should we die meanwhile"
    [confirmed] = parts.desk.confirm([kept.id], by="ann")
    assert confirmed.in_effect_until == kept.expires_at
    assert lost.confirm_by is not None
    parts.ledger.reconcile(lost.confirm_by)
    after = {action.id: action for action in parts.cases.actions(incident_id=incident_id)}
    assert after[kept.id].state is ActionState.APPROVED
    assert after[lost.id].state is ActionState.ROLLED_BACK
    assert after[lost.id].detail == "not confirmed in time"


def test_the_foreseen_impact_is_what_counting_by_hand_gives(compose: Callable[..., Parts]) -> None:
    parts, chance = compose(), random.Random(7)
    hosts = [f"10.0.{n}.{m}" for n in range(3) for m in range(1, 9)]
    servers = [f"198.18.{n}.{m}" for n in range(2) for m in range(1, 5)] + ["2001:db8::1", "2001:db8:1::1"]
    names = ["c2.example", "www.c2.example", "notc2.example", "good.example"]
    flows = [flow(chance.choice(hosts), chance.choice(servers), chance.choice([80, 443])) for _ in range(300)]
    flows += [flow(chance.choice(servers), chance.choice(hosts), 22) for _ in range(50)]
    looks = [look_up(chance.choice(hosts), chance.choice(names)) for _ in range(200)]
    parts.events.append([*flows, *looks])
    since, now = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC)

    def counted(kind: TargetType, value: str) -> tuple[int, int]:
        impact = foresee(parts.events, [Target(kind, value)], since=since, guard=Guard(), now=now)
        assert impact.complete
        return impact.flows, impact.hosts

    for network in ("198.18.0.1", "198.18.1.0/30", "2001:db8::/48", "203.0.113.1"):
        parsed = ip_network(network)
        touching = [
            (event, {event.eve["src_ip"], event.eve["dest_ip"]} - {end})
            for event in flows
            for end in (event.eve["src_ip"], event.eve["dest_ip"])
            if ip_address(end) in parsed
        ]
        kind = TargetType.ADDRESS if "/" not in network else TargetType.NETWORK
        assert counted(kind, network) == (len(touching), len({host for _, others in touching for host in others}))
    at_80 = [
        event.eve["src_ip"] for event in flows if (event.eve["dest_ip"], event.eve["dest_port"]) == ("198.18.0.1", 80)
    ]
    assert counted(TargetType.ENDPOINT, "198.18.0.1:80/tcp") == (len(at_80), len(set(at_80)))
    assert counted(TargetType.ENDPOINT, "198.18.0.1:80/udp") == (0, 0)
    for kind, wanted in ((TargetType.DOMAIN, {"c2.example", "www.c2.example"}), (TargetType.HOSTNAME, {"c2.example"})):
        asked = [event.eve["src_ip"] for event in looks if event.eve["dns"]["rrname"] in wanted]
        assert counted(kind, "c2.example") == (len(asked), len(set(asked)))


def test_an_impact_that_cannot_be_counted_whole_says_so(compose: Callable[..., Parts]) -> None:
    parts = compose()
    parts.events.append([flow(f"10.0.{n // 200}.{n % 200 + 1}", C2.value) for n in range(500)])
    now = datetime.now(UTC)
    impact = foresee(parts.events, [C2], since=now - timedelta(hours=1), guard=Guard(), now=now, most=100)
    assert (impact.flows, impact.hosts, impact.complete) == (100, 100, False)


class Hanging:
    """An event store that answers only when it is let go, as a cluster that is away."""

    def __init__(self, store: Any) -> None:
        self._store, self.let_go = store, threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def search(self, *given: Any, **named: Any) -> Any:
        assert self.let_go.wait(60)
        return self._store.search(*given, **named)


def standing(parts: Parts, events: Any) -> Deciding:
    means = Means(parts.ledger, parts.mitigators, lambda: Guard(protect(["10.0.0.3"], "never_block")), dry_run=True)
    return Deciding(cases=parts.cases, events=events, means=means, clock=parts.clock, new_id=new_id)


def by_policy(deciding: Deciding, parts: Parts, target: Target) -> list[Action]:
    opened = parts.cases.incidents()[0]
    authority = Authority(AuthorityKind.STANDING_POLICY, "beacons", "policy 3", datetime.now(UTC))
    proposed = deciding.propose(
        opened, Measure.BLOCK, [target], "here", "c2", authority, timedelta(hours=1), by="policy:beacons"
    )
    return deciding.carry_out_all(lambda: [proposed])[proposed.id]


def wait_for(said: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_policys_block_does_not_wait_for_an_event_store_that_hangs(compose: Callable[..., Parts]) -> None:
    parts = compose()
    incident(parts)
    hanging = Hanging(parts.events)
    deciding = standing(parts, hanging)
    started = time.monotonic()
    for number in range(50):
        [action] = by_policy(deciding, parts, Target(TargetType.ADDRESS, f"198.18.1.{number}"))
        assert action.state is ActionState.APPROVED
    assert time.monotonic() - started < 10  # one look with a deadline, not fifty
    assert not [record for record in parts.cases.audit_records(limit=1000) if record.verb == "weigh"]
    hanging.let_go.set()
    wait_for(lambda: sum(record.verb == "weigh" for record in parts.cases.audit_records(limit=1000)) == 50)


def test_what_is_known_too_late_and_takes_people_is_suspended_until_they_have_spoken(
    compose: Callable[..., Parts],
) -> None:
    parts = compose()
    incident(parts)
    parts.events.append([flow(f"10.0.0.{n}", C2.value) for n in range(1, 6)])
    hanging = Hanging(parts.events)
    [action] = by_policy(standing(parts, hanging), parts, C2)
    assert action.state is ActionState.APPROVED
    hanging.let_go.set()
    wait_for(lambda: parts.cases.action(action.id).state is ActionState.SIMULATED)
    decision = parts.cases.decision(action.decision_id)
    assert (decision.people_needed, "10.0.0.3" in decision.needed_because) == (2, True)
    assert states(parts.desk.approve(decision.id, by="ann")) == {ActionState.SIMULATED}
    assert states(parts.desk.approve(decision.id, by="bob")) == {ActionState.APPROVED}


@pytest.mark.parametrize(
    ("approval", "confidence", "people", "why"),
    [
        ({}, 25, 0, "within the reach"),
        ({"automatic_confidence": 60}, 50, 1, "confidence is 50, 60 is the least"),
        ({"automatic_confidence": 60}, 90, 0, "within the reach"),
        ({"classes": {"event": 1}}, 90, 1, "threats of the class event take a person"),
        ({"classes": {"event": 2}, "kinds": {"address": 1}}, 90, 2, "class event take 2 people"),
        ({"kinds": {"address": 2}}, 90, 2, "targets of the kind address take 2 people"),
        ({"classes": {"other": 2}, "kinds": {"network": 2}}, 90, 0, "within the reach"),
    ],
)
def test_class_kind_and_confidence_say_how_many_people_a_policy_needs(
    compose: Callable[..., Parts], approval: dict[str, Any], confidence: int, people: int, why: str
) -> None:
    parts = compose(approval=approval)
    incident(parts)
    deciding = parts.desk._deciding
    authority = Authority(AuthorityKind.STANDING_POLICY, "beacons", "policy 3", datetime.now(UTC))
    proposed = deciding.propose(
        parts.cases.incidents()[0],
        Measure.BLOCK,
        [C2],
        "here",
        "c2",
        authority,
        timedelta(hours=1),
        by="policy:beacons",
        confidence=confidence,
    )
    [action] = deciding.carry_out_all(lambda: [proposed])[proposed.id]
    decision = parts.cases.decision(proposed.id)
    assert (decision.people_needed, why in decision.needed_because) == (people, True)
    assert action.state is (ActionState.SIMULATED if people else ActionState.APPROVED)
    mine = parts.cases.decision(decide(parts, decision.incident_id)[0].decision_id)
    assert mine.people_needed == max(people if "confidence" not in why else 1, 1)
