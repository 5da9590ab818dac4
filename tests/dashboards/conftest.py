"""The real application over the real stores and the agent's desk in dry run, served on loopback."""

import base64
import dataclasses
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from tapwarden.agent.appeals import AppealRules, Appeals, Replies, lifted_targets
from tapwarden.agent.desk import CaseDesk, Means, ReportingRules
from tapwarden.agent.handling import IncidentHandling
from tapwarden.agent.office import CaseOffice
from tapwarden.agent.orders.desk import OrderRules, Orders
from tapwarden.agent.orders.gate import GateRules
from tapwarden.agent.queries.desk import Queries, QueryRules
from tapwarden.agent.queries.templates import Sources
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.report.profile import shipped_profiles
from tapwarden.agent.report.reporter import Reporter
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.agent.store.cases.appeals import SqlAppealStore
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.agent.store.evidence import EvidenceFolder
from tapwarden.dashboards.accounts import Passwords
from tapwarden.dashboards.app import create_app
from tapwarden.dashboards.server import make_server
from tapwarden.dashboards.settings import DashboardSettings
from tapwarden.mitigation.guard import Guard, Limits, protect
from tapwarden.mitigation.ledger import Ledger
from tapwarden.mitigation.notify import Notify, Recipient, Sender, Ways
from tapwarden.mitigation.table import MITIGATORS
from tapwarden.model.event import Event
from tapwarden.model.incident import AlertGroup
from tapwarden.model.office import Requirement, Standing
from tapwarden.model.user import Role, User

START = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
PROTECTED = "192.0.2.1"
PASSWORD = "correct horse battery staple"


@dataclass
class SetClock:
    """A clock that stands still until a test moves it."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


def real_desk(cases: SqlCaseStore, events: EmbeddedEventStore, clock: SetClock) -> CaseDesk:
    """The agent's own desk in dry run, with one address and the documentation's gateway protected."""
    mitigators = [MITIGATORS["nftables"](table="tapwarden_test")]

    def guard() -> Guard:
        return Guard(protect([PROTECTED], "never_block"), Limits())

    serial = itertools.count(1)
    return CaseDesk(
        cases=cases,
        events=events,
        means=Means(
            Ledger(cases, mitigators, guard),
            mitigators,
            guard,
            dry_run=True,
            lifted=lambda: lifted_targets(SqlAppealStore(cases)),
        ),
        rules=ReportingRules(shipped_profiles()["generic-24h"], Reporter("Test Org", "Anna", "+00 1")),
        clock=clock,
        new_id=lambda: f"case-{next(serial):04d}",
        ours=lambda address: address.startswith("10."),
        detected_at=lambda groups, now: min(group.first_seen for group in groups),
    )


@dataclass
class Site:
    """A served dashboard and what is behind it."""

    url: str
    cases: SqlCaseStore
    events: EmbeddedEventStore
    desk: CaseDesk
    clock: SetClock
    passwords: Passwords
    health: dict[str, Any]
    appeals: Appeals
    notify: Notify
    opened: list[httpx.Client] = field(default_factory=list)
    orders: Orders | None = None
    queries: Queries | None = None

    def add_user(self, name: str, role: Role, *, must_change: bool = False) -> None:
        hashed = self.passwords.hash(PASSWORD)
        self.cases.put_user(User(name, role, hashed, created_at=self.clock.now(), must_change=must_change))

    def browse(self) -> "Visit":
        self.opened.append(httpx.Client(base_url=self.url))
        return Visit(self.opened[-1])

    def log_in(self, role: Role) -> "Visit":
        """A visitor logged in as a new person with this role, named after it."""
        if self.cases.user(role.value + "-anna") is None:
            self.add_user(role.value + "-anna", role)
        visit = self.browse()
        answer = visit.log_in(role.value + "-anna", PASSWORD)
        assert answer.status_code == 200, answer.text
        return visit

    def add_alert(self, eve: Mapping[str, Any], *, count: int = 1, badges: tuple[str, ...] = ()) -> AlertGroup:
        """Store an alert event and its group, as the pipeline would."""
        event = make_event(eve)
        self.events.append([event])
        alert = eve["alert"]
        group = AlertGroup(
            id="",
            gid=1,
            sid=alert["signature_id"],
            signature=alert["signature"],
            category=alert.get("category", ""),
            severity=alert["severity"],
            src_ip=eve["src_ip"],
            dest_ip=eve["dest_ip"],
            count=count,
            first_seen=event.timestamp - timedelta(minutes=count),
            last_seen=event.timestamp,
            event_id=event.id,
            badges=badges,
        )
        key = f"{group.gid}:{group.sid}:{group.src_ip}:{group.dest_ip}"
        named = dataclasses.replace(group, id=hashlib.blake2b(key.encode(), digest_size=8).hexdigest())
        return self.cases.merge_groups([named])[0]


class Visit:
    """A browser's worth of state: cookies, and the token that changes need."""

    def __init__(self, http: httpx.Client) -> None:
        self.http, self.csrf = http, ""

    def log_in(self, name: str, password: str) -> httpx.Response:
        form = self.http.get("/login.json").json()
        fields = {"name": name, "password": password, "csrf": form["login_csrf"]}
        answer = self.http.post("/login.json", data=fields)
        if answer.status_code == 200:
            self.csrf = answer.json()["csrf"]
        return answer

    def get(self, path: str, **kw: Any) -> httpx.Response:
        return self.http.get(path, **kw)

    def json(self, path: str) -> Any:
        answer = self.http.get(path, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, data: Mapping[str, Any], **headers: str) -> httpx.Response:
        return self.http.post(path, data={"csrf": self.csrf, **data}, headers=headers)


def make_event(eve: Mapping[str, Any]) -> Event:
    return Event(json.dumps(eve).encode(), origin="test")


def alert_record(**changes: Any) -> dict[str, Any]:
    """An EVE alert of a beacon, with a flow, a payload and an HTTP transaction."""
    at = changes.pop("at", START - timedelta(minutes=3))
    request = b"GET /gate.php?id=7 HTTP/1.1\r\nHost: c2.evil.example\r\nUser-Agent: \x01\x02curl\r\n\r\n"
    record = {
        "timestamp": at.isoformat(),
        "event_type": "alert",
        "flow_id": 1234567890123456,
        "community_id": "1:abcdefghijklmnopqrstuvwxyz0=",
        "src_ip": "10.1.4.23",
        "src_port": 49152,
        "dest_ip": "198.18.7.9",
        "dest_port": 80,
        "proto": "TCP",
        "app_proto": "http",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2024001,
            "rev": 3,
            "signature": "MALWARE Beacon to known gate",
            "category": "A Network Trojan was detected",
            "severity": 1,
            "rule": 'alert http $HOME_NET any -> $EXTERNAL_NET any (msg:"MALWARE Beacon to known gate"; sid:2024001;)',
        },
        "http": {"hostname": "c2.evil.example", "url": "/gate.php?id=7", "http_method": "GET", "status": 200},
        "payload": base64.b64encode(request).decode(),
    }
    record.update(changes)
    return record


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    return alert_record


@pytest.fixture
def event_of() -> Callable[[Mapping[str, Any]], Event]:
    return make_event


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    """Cheap argon2id: the tests log in often."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def settings() -> DashboardSettings:
    return DashboardSettings(port=0, site="test site", public=True, legal_bases=("Internal security policy section 4",))


def coordinated(
    cases: SqlCaseStore, events: EmbeddedEventStore, desk: CaseDesk, clock: SetClock, serial: Iterator[int]
) -> tuple[Orders, Queries]:
    """The desks of orders and queries over these stores; orders are entered as if by phone."""
    store = SqlOrderStore(cases)
    orders = Orders(
        store=store,
        cases=cases,
        desk=desk,
        mitigators=[],
        rules=OrderRules(GateRules("agent-1", {"cc.example": bytes(32)})),
        clock=clock,
        new_id=lambda: f"order-{next(serial):04d}",
    )
    sources = Sources(
        events,
        cases,
        store,
        ours=lambda address: address.startswith("10."),
        pseudonym=lambda _, host: host[::-1],
        smallest=1,
        most_rows=10,
    )
    queries = Queries(store=store, cases=cases, sources=sources, rules=QueryRules("agent-1"), clock=clock)
    return orders, queries


@pytest.fixture
def site(tmp_path: Path, passwords: Passwords, settings: DashboardSettings) -> Iterator[Site]:
    clock = SetClock()
    cases = SqlCaseStore.at(tmp_path / "cases" / "cases.db")
    events = EmbeddedEventStore(tmp_path / "events", clock)
    desk, serial = real_desk(cases, events, clock), itertools.count(1)
    appeals = Appeals(
        store=SqlAppealStore(cases),
        cases=cases,
        desk=desk,
        clock=clock,
        rules=AppealRules(per_day=8),
        new_id=lambda: f"appeal-{next(serial):04d}",
    )
    notify = Notify(
        folder=tmp_path / "notify",
        recipients=[Recipient("Hosting", "provider", email="abuse@example.net")],
        ways=Ways(),
        sender=Sender("Test Org", ""),
        reply_url="https://tw.example/reply/",
        clock=lambda: clock.now().timestamp(),
    )
    health: dict[str, Any] = {"capture": {"state": "ok", "detail": "eth0, 41 230 packets/s, loss 0.00 %", "dropped": 0}}
    orders, queries = coordinated(cases, events, desk, clock, serial)
    app = create_app(
        events=events,
        cases=cases,
        desk=desk,
        clock=clock,
        health=lambda: health,
        evidence=EvidenceFolder(tmp_path / "evidence"),
        settings=settings,
        passwords=passwords,
        appeals=appeals,
        replies=Replies(notify, cases, clock),
        incident_desk=IncidentHandling(
            cases=cases,
            clock=clock,
            new_id=lambda: f"split-{next(serial):04d}",
            ours=lambda address: address.startswith("10."),
            undo=lambda ids, by, reason: desk.rollback(ids, by=by, reason=reason),
        ),
        order_desk=orders,
        query_desk=queries,
        formatters=FORMATTERS,
        office=CaseOffice(cases, lambda: [Requirement("M1", "art. 1", "a text", Standing.MET, "seen")]),
    )
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, name="dashboard")
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        served = Site(f"http://127.0.0.1:{port}", cases, events, desk, clock, passwords, health, appeals, notify)
        served.orders, served.queries = orders, queries
        yield served
        for client in served.opened:
            client.close()
    finally:
        server.should_exit = True
        thread.join(10)
        events.close()
        cases.close()
