"""Orders through the real desk, ledger and stores; what is in effect stands in a mitigator of the test."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tapwarden.agent.desk import CaseDesk, Means, ReportingRules
from tapwarden.agent.orders import document
from tapwarden.agent.orders.desk import OrderRules, Orders
from tapwarden.agent.orders.gate import GateRules
from tapwarden.agent.orders.refusal import Refusal
from tapwarden.agent.orders.signature import sign
from tapwarden.agent.orders.writing import Issuer, Wording
from tapwarden.agent.report.profile import shipped_profiles
from tapwarden.agent.report.reporter import Reporter
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.mitigation.approval import ApprovalRules
from tapwarden.mitigation.guard import Guard, Limits, protect
from tapwarden.mitigation.ledger import Ledger
from tapwarden.model.decision import Action, ActionState, Installed, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError, RefusedError
from tapwarden.model.order import Order, OrderKind, OrderState

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ISSUER = Issuer("cc.example", KEY.sign)
GATE = GateRules("agent-1", {"cc.example": KEY.public_key().public_bytes_raw()})
C2 = Target(TargetType.DOMAIN, "c2.beacon.test")
ADDRESS = Target(TargetType.ADDRESS, "198.18.2.20")
WORDING = Wording(
    category="malicious_resource.c2_domain",
    legal_basis={"instrument": "MIIT [2017] 202", "article": "art. 8 (1)"},
    reason="Control server of a botnet",
    scope={"text": "own network"},
    lasts=timedelta(days=7),
    due_within=timedelta(hours=2),
)


class Hands:
    """A clock that the test moves; no two looks at it are at the same moment."""

    def __init__(self) -> None:
        self.at = T0

    def now(self) -> datetime:
        self.at += timedelta(microseconds=1)
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


class Filter:
    """A mitigator that keeps what it was told."""

    name = "filter"
    measures = frozenset({Measure.BLOCK, Measure.REJECT})
    target_types = frozenset({TargetType.ADDRESS, TargetType.DOMAIN})

    def __init__(self) -> None:
        self.there: dict[tuple[Measure, Target], datetime] = {}
        self.broken = False

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        if self.broken:
            raise MitigationError("the filter is away")
        self.there |= {(action.measure, action.target): action.expires_at for action in actions}

    def withdraw(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self.there.pop((action.measure, action.target), None)

    def list(self) -> Sequence[Installed]:
        return [Installed(target, measure, 60.0, packets=7) for measure, target in self.there]

    def clear(self) -> None:
        self.there.clear()


class Site:
    """An agent's orders on its stores, started again at will."""

    approval = ApprovalRules()

    def __init__(self, folder: Path, people: int = 1, dry_run: bool = False) -> None:
        self.clock, self.filter, self.people, self.dry_run = Hands(), Filter(), people, dry_run
        self.cases = SqlCaseStore.at(folder / "cases.db")
        self.store = SqlOrderStore(self.cases)
        self.events = EmbeddedEventStore(folder / "events", self.clock)
        self._ids = (f"i{n}" for n in range(1000))
        self.restart()

    def restart(self) -> None:
        """The agent is started again: nothing is left but the stores and what is in effect."""
        guard = Guard(protect(["198.18.2.53", "good.test"], "never_block"), Limits())
        self.ledger = Ledger(self.cases, [self.filter], lambda: guard)
        profile = shipped_profiles()["generic-24h"]
        self.desk = CaseDesk(
            cases=self.cases,
            events=self.events,
            means=Means(self.ledger, [self.filter], lambda: guard, dry_run=self.dry_run),
            rules=ReportingRules(profile, Reporter("Example Office", "Ann", "+1 555 0100")),
            clock=self.clock,
            new_id=self._ids.__next__,
            ours=lambda _: False,
            detected_at=lambda _groups, now: now,
        )
        self.orders = Orders(
            store=self.store,
            cases=self.cases,
            desk=self.desk,
            mitigators=[self.filter],
            rules=OrderRules(GATE, self.people, self.approval),
            clock=self.clock,
            new_id=self._ids.__next__,
        )

    def receive(self, order: Any) -> Order:
        return self.orders.receive(*order, via="taxii")

    def pass_by(self, **by: float) -> None:
        """Time goes by, with everything that is done again and again."""
        self.clock.move(**by)
        self.ledger.reconcile(self.clock.now())
        self.orders.advance()

    def told(self, order_id: str) -> list[tuple[str, int]]:
        """States and codes told to the centre, oldest first."""
        said = [document.of_stix(each.document, "feedback") for each in self.store.messages(subject=order_id)]
        contents = [each["feedback"] for each in reversed(said) if each is not None]
        return [(content["state"], content["code"]) for content in contents]

    def close(self) -> None:
        self.events.close()
        self.cases.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[Site]:
    """A site that needs no person for an order of small reach."""
    made = Site(tmp_path, people=0)
    yield made
    made.close()


def an_order(seq: int = 1, *targets: Target, wording: Wording = WORDING, at: datetime = T0) -> Any:
    return ISSUER.order(f"CC-{seq}", seq, "agent-1", [(Measure.BLOCK, each) for each in targets or (C2,)], wording, at)


def a_revocation(seq: int, of: str, at: datetime = T0) -> Any:
    return ISSUER.revocation(f"CC-{seq}", seq, "agent-1", of, replace(WORDING, reason="cleaned up"), at)


def test_the_sites_own_rules_on_kinds_of_targets_hold_for_orders_too(trusting: Site) -> None:
    trusting.approval = ApprovalRules(kinds={TargetType.DOMAIN: 2})
    trusting.restart()
    order = trusting.receive(an_order())
    assert (order.state, order.code) == (OrderState.PENDING_APPROVAL, 102)
    assert trusting.orders.approve("CC-1", by="ann").state is OrderState.PENDING_APPROVAL
    assert trusting.orders.approve("CC-1", by="bob").state is OrderState.EFFECTIVE


def test_an_order_waits_for_a_person_takes_effect_is_proved_and_told(site: Site) -> None:
    order = site.receive(an_order())
    assert (order.state, order.code) == (OrderState.PENDING_APPROVAL, 102)
    assert site.filter.there == {}
    order = site.orders.approve("CC-1", by="ann", note="known C2")
    assert (order.state, order.code) == (OrderState.EFFECTIVE, 200)
    assert site.filter.there == {(Measure.BLOCK, C2): T0 + timedelta(days=7)}
    (effect,) = order.effects
    assert effect.proof == {
        "read_at": "2026-11-24T08:00:00.000Z",
        "installed": True,
        "effective": True,
        "expires_in_s": 60,
        "packets": 7,
    }
    assert site.told("CC-1") == [("pending_approval", 102), ("effective", 200)]
    incident = site.cases.incident(order.incident_id)
    assert incident is not None
    assert (incident.subtype, incident.determined_by) == ("c2_domain", "cc.example")
    (decision,) = site.cases.decisions()
    assert (decision.authority.kind, decision.authority.name) == ("order", "CC-1")
    assert site.cases.verify_audit() is None


def test_a_person_who_says_no_is_told_to_the_centre_with_the_reason(site: Site) -> None:
    site.receive(an_order())
    site.clock.move(seconds=30)
    order = site.orders.reject("CC-1", by="ann", note="that is our mail provider")
    assert (order.state, order.code) == (OrderState.REJECTED, 403)
    assert "mail provider" in order.detail
    assert site.told("CC-1")[-1] == ("rejected", 403)
    with pytest.raises(RefusedError, match="does not wait"):
        site.orders.approve("CC-1", by="bob")


def test_the_same_order_again_does_nothing_again(trusting: Site) -> None:
    first = trusting.receive(an_order())
    actions = trusting.cases.actions()
    assert trusting.receive(an_order()) == first
    assert trusting.cases.actions() == actions
    assert trusting.told("CC-1") == [("effective", 200)]


def test_a_revocation_takes_it_out_and_ends_the_matter(trusting: Site) -> None:
    trusting.receive(an_order(1, C2, ADDRESS))
    assert len(trusting.filter.there) == 2
    revocation = trusting.receive(a_revocation(2, "CC-1"))
    assert trusting.filter.there == {}
    assert (revocation.state, revocation.code) == (OrderState.EFFECTIVE, 200)
    assert trusting.orders.order("CC-1").state is OrderState.REVOKED
    assert trusting.told("CC-1")[-1] == ("revoked", 200)


def test_a_revocation_of_an_order_that_waits_leaves_nothing_to_approve(site: Site) -> None:
    site.receive(an_order())
    site.receive(a_revocation(2, "CC-1"))
    assert site.orders.order("CC-1").state is OrderState.REVOKED
    with pytest.raises(RefusedError):
        site.orders.approve("CC-1", by="ann")
    assert site.filter.there == {}


def test_a_revocation_that_overtakes_its_order_is_remembered(trusting: Site) -> None:
    early = trusting.receive(a_revocation(2, "CC-1"))
    assert early.code == 404
    late = trusting.receive(an_order())
    assert (late.state, late.code) == (OrderState.REJECTED, 403)
    assert trusting.filter.there == {}


def test_an_order_ends_by_itself_though_the_centre_is_lost(trusting: Site) -> None:
    trusting.receive(an_order(wording=replace(WORDING, lasts=timedelta(hours=1))))
    trusting.restart()
    trusting.pass_by(minutes=59)
    assert trusting.filter.there
    trusting.pass_by(minutes=2)
    assert trusting.filter.there == {}
    assert trusting.told("CC-1")[-1] == ("expired", 200)


def test_an_order_nobody_decides_on_is_told_as_refused_when_its_time_is_over(site: Site) -> None:
    site.receive(an_order(wording=replace(WORDING, lasts=timedelta(hours=1))))
    site.pass_by(hours=2)
    assert site.told("CC-1")[-1] == ("rejected", 403)


def test_an_oral_order_needs_somebody_else_and_ends_without_its_paper(site: Site) -> None:
    oral = enter(site)
    assert oral.state is OrderState.PENDING_APPROVAL
    with pytest.raises(RefusedError, match="nobody approves what they asked for"):
        site.orders.approve("CC-9", by="ann")
    assert site.orders.approve("CC-9", by="bob").state is OrderState.EFFECTIVE
    site.pass_by(hours=23)
    assert site.filter.there
    site.pass_by(hours=2)
    assert site.filter.there == {}
    assert site.orders.order("CC-9").state is OrderState.EXPIRED


def enter(site: Site, *, issuer: str = "cc.example", category: str = "malicious_resource.c2_domain") -> Order:
    return site.orders.enter_oral(
        order_id="CC-9",
        issuer=issuer,
        category=category,
        legal_basis="MIIT [2017] 202, art. 8",
        scope="own network",
        reason="urgent",
        commands=[{"action": "deny", "target": {"domain_name": "c2.beacon.test"}}],
        confirmed_by="Duty officer Li, +86 10 5550100",
        by="ann",
    )


def test_an_oral_order_of_somebody_unknown_is_refused(site: Site) -> None:
    with pytest.raises(RefusedError, match="nobody whose orders are followed"):
        enter(site, issuer="somebody.else")
    with pytest.raises(RefusedError, match="content is no ground"):
        enter(site, category="content.rumour")


def test_the_paper_of_an_oral_order_lets_it_stand_without_being_approved_again(site: Site) -> None:
    enter(site)
    site.orders.approve("CC-9", by="bob")
    site.pass_by(hours=3)
    paper = site.receive(an_order(1, wording=replace(WORDING, paper_for="CC-9"), at=site.clock.now()))
    assert (paper.kind, paper.state) == (OrderKind.PAPER, OrderState.EFFECTIVE)
    assert site.orders.order("CC-9").paper_id == "CC-1"
    site.pass_by(hours=30)
    assert site.filter.there == {(Measure.BLOCK, C2): T0 + timedelta(days=7, hours=3)}
    site.receive(a_revocation(2, "CC-9", at=site.clock.now()))
    assert site.filter.there == {}, "revoking the oral order ends its paper as well"


def test_a_paper_that_goes_beyond_its_oral_order_is_refused(site: Site) -> None:
    enter(site)
    paper = site.receive(an_order(1, ADDRESS, wording=replace(WORDING, paper_for="CC-9")))
    assert (paper.state, paper.code) == (OrderState.REJECTED, 403)


def test_what_is_protected_stays_protected_and_the_rest_is_done(trusting: Site) -> None:
    order = trusting.receive(an_order(1, C2, Target(TargetType.DOMAIN, "good.test")))
    assert (order.state, order.code) == (OrderState.EFFECTIVE, 403)
    assert order.detail.startswith("1 of 2 effective; good.test")
    assert list(trusting.filter.there) == [(Measure.BLOCK, C2)]


def test_what_no_mitigator_can_do_is_501_what_fails_500_a_dry_run_503(tmp_path: Path, trusting: Site) -> None:
    url = Target(TargetType.URL, "http://c2.beacon.test/gate.php")
    assert trusting.receive(an_order(1, url)).code == 501
    trusting.filter.broken = True
    assert trusting.receive(an_order(2)).code in {500, 102}
    trusting.filter.broken = False
    trusting.pass_by(seconds=5)
    assert trusting.orders.order("CC-2").code == 200, "what failed is tried again"
    dry = Site(tmp_path / "dry", people=0, dry_run=True)
    assert dry.receive(an_order()).code == 503
    assert dry.filter.there == {}
    dry.close()


@pytest.mark.parametrize("when", ["received", "decided"])
def test_an_order_interrupted_by_a_kill_is_taken_up_again(
    trusting: Site, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def killed(*_arguments: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trusting.desk, "simulate" if when == "received" else "carry_out", killed)
        with pytest.raises(KeyboardInterrupt):
            trusting.receive(an_order())
    trusting.restart()
    assert trusting.filter.there == {}
    trusting.pass_by(seconds=5)
    assert list(trusting.filter.there) == [(Measure.BLOCK, C2)]
    assert trusting.orders.order("CC-1").state is OrderState.EFFECTIVE
    (action,) = trusting.cases.actions()
    trusting.pass_by(seconds=5)
    assert trusting.cases.actions() == [replace(action, state=ActionState.VERIFIED)]


def test_what_is_refused_is_answered_and_audited_and_what_nobody_signed_is_never_kept(site: Site) -> None:
    content, signature = an_order()
    with pytest.raises(Refusal, match="signature"):
        site.orders.receive({**content, "reason": "forged"}, signature, via="taxii")
    assert site.store.orders() == []
    assert site.told("CC-1") == [("rejected", 401)]
    late = an_order(2, wording=replace(WORDING, lasts=timedelta(hours=1)), at=T0 - timedelta(hours=2))
    with pytest.raises(Refusal, match="expired"):
        site.receive(late)
    assert (site.orders.order("CC-2").state, site.orders.order("CC-2").code) == (OrderState.REJECTED, 403)
    assert [record.verb for record in site.cases.audit_records()] == ["order.refuse", "order.refuse"]


def test_an_order_that_begins_later_begins_later(trusting: Site) -> None:
    content, _ = an_order()
    content = {**content, "not_before": "2026-11-24T09:00:00.000Z"}
    order = trusting.receive((content, sign(content, "cc.example", KEY.sign)))
    assert (order.state, order.code) == (OrderState.RECEIVED, 102)
    trusting.pass_by(minutes=30)
    assert trusting.filter.there == {}
    trusting.pass_by(minutes=31)
    assert trusting.orders.order("CC-1").state is OrderState.EFFECTIVE


def test_an_order_that_waits_too_long_is_overdue(site: Site) -> None:
    site.receive(an_order())
    assert site.orders.overdue() == 0
    site.pass_by(hours=3)
    assert site.orders.overdue() == 1
    site.orders.approve("CC-1", by="ann")
    assert site.orders.overdue() == 0


def test_what_was_told_long_ago_is_forgotten_and_what_waits_is_not(site: Site) -> None:
    site.receive(an_order())
    (message,) = site.store.messages()
    assert site.store.drop_sent(T0 + timedelta(days=400)) == 0
    site.store.put_message(replace(message, sent_at=T0))
    assert site.store.drop_sent(T0 + timedelta(days=1)) == 1
    assert site.store.messages() == []


def test_drift_is_repaired_and_told_only_when_it_lasts(trusting: Site) -> None:
    trusting.receive(an_order())
    trusting.filter.clear()
    trusting.pass_by(seconds=5)
    assert list(trusting.filter.there) == [(Measure.BLOCK, C2)]
    assert trusting.orders.order("CC-1").state is OrderState.EFFECTIVE
