"""Agent and coordinating centre in touch, over TAXII and OpenC2, with what can go wrong between them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from stix2validator import ValidationOptions, validate_string

from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.coordinator import CoordinatorSettings, serving
from tapwarden.agent.coordinator.centre import signing_key
from tapwarden.agent.ordering import reception_of
from tapwarden.agent.orders import document
from tapwarden.agent.orders.signature import shown_key
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.model.order import OrderState

AGENT, OFFICER, CALLER = "agent-token-0123456789", "officer-token-0123456", "caller-token-0123456789"
ORDER = {
    "to": "agent-1",
    "wanted": [{"measure": "block", "type": "domain", "value": "c2.beacon.test"}],
    "category": "malicious_resource.c2_domain",
    "legal_basis": {"instrument": "MIIT [2017] 202", "article": "art. 8 (1)"},
    "reason": "Control server",
    "scope": {"text": "own network"},
    "lasts_s": 3600,
}


class Pair:
    """A centre, and an agent that never waits for its own turn."""

    def __init__(self, url: str, parts: Parts) -> None:
        self.url, self.parts = url, parts
        self.officer = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {OFFICER}"})

    def turn(self) -> str:
        assert self.parts.coordination is not None
        return self.parts.coordination.turn().problem

    def order(self, **changes: Any) -> str:
        answer = self.officer.post("/api/v1/orders", json=ORDER | changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["order_id"])

    def fault(self, kind: str, on: str, count: int = 1) -> None:
        self.officer.post("/api/v1/faults", json={"kind": kind, "on": on, "count": count})

    def state(self, order_id: str) -> tuple[str, int]:
        found = self.officer.get(f"/api/v1/orders/{order_id}").json()
        return found["state"], found["code"]


@contextmanager
def paired(folder: Path, **orders: Any) -> Iterator[Pair]:
    settings = CoordinatorSettings(
        database=folder / "centre.db",
        agents={"agent-1": AGENT},
        officers={"duty": OFFICER},
        port=0,
        faults=True,
        name="cc.example",
    )
    etc = folder / "etc"
    etc.mkdir()
    for name, token in (("agent.token", AGENT), ("caller.token", CALLER)):
        (etc / name).write_text(token)
        (etc / name).chmod(0o600)
    with serving(settings) as url:
        config = {
            "sensor": {"home_net": ["10.0.0.0/8"]},
            "mitigation": {"mode": "enforce", "rpz": {"enabled": True, "port": 0}},
            "reporting": {"coordinator": {"url": url, "token_file": "agent.token"}},
            "queries": {"enabled": True},
            "orders": {
                "enabled": True,
                "name": "agent-1",
                "people": 0,
                "issuers": [{"name": "cc.example", "public_key": shown_key(signing_key(settings).public)}],
                "reception": {"enabled": True, "port": 0, "callers": [{"name": "cc", "token_file": "caller.token"}]},
            }
            | orders,
        }
        with composed(Config.model_validate(config), Layout.at(folder)) as parts:
            pair = Pair(url, parts)
            yield pair
            pair.officer.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with paired(tmp_path, people=1) as made:
        yield made


def test_an_order_waits_is_refused_here_and_the_centre_hears_both(pair: Pair) -> None:
    order_id = pair.order()
    assert pair.turn() == ""
    assert pair.state(order_id) == ("pending_approval", 102)
    pair.parts.orders.reject(order_id, by="ann", note="our own mail provider")
    pair.turn()
    assert pair.state(order_id) == ("rejected", 403)
    assert "mail provider" in pair.officer.get(f"/api/v1/orders/{order_id}").json()["detail"]


@pytest.mark.parametrize(
    ("kind", "on"),
    [
        ("error", "poll"),
        ("away", "poll"),
        ("duplicate", "poll"),
        ("reordered", "poll"),
        ("nonsense", "poll"),
        ("error", "push"),
        ("lost_answer", "push"),
        ("nonsense", "push"),
    ],
)
def test_whatever_goes_wrong_between_them_no_order_is_lost_or_done_twice(pair: Pair, kind: str, on: str) -> None:
    first = pair.order()
    second = pair.order(wanted=[{"measure": "block", "type": "address", "value": "198.18.2.20"}])
    pair.officer.post(f"/api/v1/orders/{first}/revocation", json={"reason": "cleaned up"})
    pair.fault(kind, on)
    pair.turn()
    assert isinstance(pair.parts.cases, SqlCaseStore)
    store = SqlOrderStore(pair.parts.cases)
    for message in store.due_messages(pair.parts.clock.now() + timedelta(days=1)):
        store.put_message(replace(message, next_attempt_at=None))  # the pause between tries is over
    pair.turn()
    assert pair.state(first)[0] in {"revoked", "rejected"}
    assert pair.state(second) == ("pending_approval", 102)
    assert len(pair.parts.orders.orders()) == 3
    assert len(pair.parts.cases.decisions()) <= 2


def test_a_determination_moves_the_incident_and_a_query_is_answered(pair: Pair) -> None:
    pair.officer.post("/api/v1/queries", json={"to": "agent-1", "template": "top-classes", "purpose": "figures"})
    pair.turn()
    (asked,) = pair.officer.get("/api/v1/queries").json()
    assert asked["answer"]["code"] == 200
    assert asked["answer"]["counts"]["classes"] == {}


def test_an_order_by_openc2_is_the_same_order_as_by_taxii(pair: Pair) -> None:
    order_id = pair.order()
    issued = pair.officer.get(f"/api/v1/orders/{order_id}").json()
    request = document.carrying(issued["content"], issued["signature"])
    parts = pair.parts
    reception = reception_of(parts.config, parts.layout, parts.orders, parts.queries, parts.clock)
    assert reception is not None
    reception.start()
    try:
        message = {"headers": {"request_id": "r1"}, "body": {"openc2": {"request": request}}}
        answer = httpx.post(
            f"http://127.0.0.1:{reception.port}/.well-known/openc2",
            content=json.dumps(message),
            headers={"Content-Type": "application/openc2+json;version=1.0", "Authorization": f"Bearer {CALLER}"},
        ).json()["body"]["openc2"]["response"]
    finally:
        reception.stop()
    assert answer["status"] == 102
    assert answer["results"]["x-order"]["state"] == "pending_approval"
    pair.turn()
    assert [each.via for each in parts.orders.orders()] == ["openc2"]
    assert parts.orders.order(order_id).state is OrderState.PENDING_APPROVAL


def test_everything_they_say_to_each_other_is_valid_stix(pair: Pair) -> None:
    pair.order()
    pair.officer.post("/api/v1/queries", json={"to": "agent-1", "template": "top-classes", "purpose": "figures"})
    pair.turn()
    headers = {"Accept": "application/taxii+json;version=2.1"}
    said = []
    listed = pair.officer.get("/taxii2/cc/collections/", headers=headers).json()["collections"]
    for each in listed:
        said += (
            pair.officer.get(f"/taxii2/cc/collections/{each['id']}/objects/", headers=headers).json().get("objects", [])
        )
    assert {each["type"] for each in said} == {"course-of-action", "note"}
    assert len(said) == 4
    bundle = {"type": "bundle", "id": "bundle--6a3b1a04-64a6-4ec7-9b86-6f5b6f8a0d5c", "objects": said}
    result = validate_string(json.dumps(bundle), ValidationOptions(version="2.1"))
    assert result.is_valid, [str(error) for error in result.errors]
    assert result.warnings == []
