"""What a coordinating centre may ask, what it is told, and what only a person lets out."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.ordering import reception_of
from tapwarden.agent.orders import document
from tapwarden.agent.queries.desk import Queries
from tapwarden.agent.store.cases import SqlCaseStore, SqlOrderStore
from tapwarden.model.errors import RefusedError
from tapwarden.model.event import Event
from tapwarden.model.order import QueryState

TOKEN = "caller-token-0123456789"
KEY = "ed25519:" + "A" * 43 + "="


def settings(**queries: Any) -> dict[str, Any]:
    return {
        "sensor": {"home_net": ["10.0.0.0/8"]},
        "queries": {"enabled": True, "smallest": 3} | queries,
        "orders": {
            "enabled": True,
            "name": "agent-1",
            "issuers": [{"name": "cc.example", "public_key": KEY}],
            "reception": {"enabled": True, "port": 0, "callers": [{"name": "cc.example", "token_file": "cc.token"}]},
        },
    }


@pytest.fixture
def parts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Parts]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/cc.token").write_text(TOKEN)
    (tmp_path / "etc/cc.token").chmod(0o600)
    given = getattr(request, "param", {})
    with composed(Config.model_validate(settings(**given)), Layout.at(tmp_path)) as made:
        yield made


def desk(parts: Parts) -> Queries:
    assert parts.queries is not None
    return parts.queries


def look_up(host: int, name: str = "c2.beacon.test", minutes: int = 5) -> Event:
    record = {
        "timestamp": (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(),
        "event_type": "dns",
        "src_ip": f"10.0.0.{host}",
        "src_port": 40000,
        "dest_ip": "192.0.2.53",
        "dest_port": 53,
        "proto": "UDP",
        "dns": {"type": "query", "rrname": name},
    }
    return Event(json.dumps(record).encode(), f"{host}-{minutes}-{name}")


def question(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "query_id": f"CC-Q-{number}",
        "template": "indicator-seen",
        "purpose": "botnet case 17",
        "parameters": {"indicator": "c2.beacon.test"},
    } | changes


def ask(parts: Parts, *changes: Any, **more: Any) -> Any:
    return desk(parts).receive(question(*changes, **more), asker="cc.example", via="taxii")


def test_many_hosts_are_counted_and_few_are_not(parts: Parts) -> None:
    parts.events.append([look_up(1), look_up(2)])
    few = ask(parts, 1).answer["counts"]
    assert (few["seen"], few["hosts"], few["events"]) == (True, "fewer than 3", "fewer than 3")
    assert len(few["first"]) == len("2026-11-24"), "the day alone"
    parts.events.append([look_up(3), look_up(4)])
    many = ask(parts, 2).answer["counts"]
    assert (many["hosts"], many["events"]) == (4, 4)
    none = ask(parts, 3, parameters={"indicator": "never.test"}).answer["counts"]
    assert (none["seen"], none["hosts"], none["events"]) == (False, 0, 0)
    assert ask(parts, 2).answer["counts"] == many, "the same question has the same answer"


def test_rows_wait_for_a_person_and_name_no_host(parts: Parts) -> None:
    parts.events.append([look_up(n) for n in range(1, 5)])
    query = ask(parts, rows=True)
    assert (query.state, query.answer["rows"]) == (QueryState.ROWS_PENDING, "a person decides")
    released = desk(parts).release(query.id, by="ann", note="case 17 is known")
    assert len(released.answer["rows"]) == 4
    assert "10.0.0" not in json.dumps(released.answer)
    told = [document.of_stix(each.document, "answer") for each in messages(parts, query.id)]
    assert [each["answer"]["state"] for each in told if each] == ["rows_released", "rows_pending"]
    with pytest.raises(RefusedError, match="nobody waits"):
        desk(parts).refuse(query.id, by="bob", note="no")
    verbs = [(record.actor, record.verb) for record in parts.cases.audit_records(subject=query.id)]
    assert verbs == [("ann", "query.rows_released"), ("cc.example", "query")]


def messages(parts: Parts, subject: str) -> Any:
    assert isinstance(parts.cases, SqlCaseStore)
    return SqlOrderStore(parts.cases).messages(subject=subject)


def test_refused_rows_stay_here(parts: Parts) -> None:
    parts.events.append([look_up(n) for n in range(1, 5)])
    query = ask(parts, rows=True)
    refused = desk(parts).refuse(query.id, by="ann", note="no basis")
    assert refused.answer["rows"] == "refused by a person"


@pytest.mark.parametrize("parts", [{"tlp": "GREEN"}], indirect=True)
def test_what_is_above_the_sites_label_is_not_given(parts: Parts) -> None:
    parts.events.append([look_up(n) for n in range(1, 5)])
    query = ask(parts, rows=True)
    assert query.answer["rows"] == "not given: they are TLP:AMBER"
    assert query.rows == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"template": "all-packets"}, 400),
        ({"purpose": " "}, 400),
        ({"parameters": {"indicator": "not an indicator"}}, 400),
        ({"parameters": {"indicator": "c2.beacon.test", "sql": "x"}}, 400),
        ({"parameters": {"indicator": "c2.beacon.test", "days": 4000}}, 400),
        ({"template": "order-status", "parameters": {"order_id": "CC-1"}}, 400),
        ({"template": "top-classes", "parameters": {}}, 200),
    ],
)
def test_only_the_closed_list_is_answered_and_everything_is_recorded(
    parts: Parts, changes: dict[str, Any], code: int
) -> None:
    query = ask(parts, **changes)
    assert query.answer["code"] == code
    assert desk(parts).queries() == [query]


@pytest.mark.parametrize("parts", [{"per_hour": 2}], indirect=True)
def test_the_quota_holds(parts: Parts) -> None:
    assert [ask(parts, n).answer["code"] for n in range(3)] == [200, 200, 429]


def test_over_https_questions_are_answered_and_commands_obeyed_or_refused(parts: Parts) -> None:
    parts.events.append([look_up(n) for n in range(1, 5)])
    reception = reception_of(parts.config, parts.layout, parts.orders, parts.queries, parts.clock)
    assert reception is not None
    reception.start()
    try:
        url = f"http://127.0.0.1:{reception.port}"
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            asked = question(rows=True)
            del asked["query_id"]
            answer = client.post("/api/v1/queries", json=asked).json()
            assert (answer["state"], answer["counts"]["hosts"]) == ("rows_pending", 4)
            desk(parts).release(answer["query_id"], by="ann")
            assert len(client.get(f"/api/v1/queries/{answer['query_id']}").json()["rows"]) == 4
            assert "/api/v1/queries" in client.get("/openapi.json").json()["paths"]
            assert client.post("/api/v1/queries", json=asked | {"template": "x"}).status_code == 422
            features = command(client, {"action": "query", "target": {"features": ["profiles", "versions"]}})
            assert features == {"status": 200, "results": {"profiles": ["slpf", "x-dnsf"], "versions": ["1.0"]}}
            unsigned = {"action": "deny", "target": {"domain_name": "c2.beacon.test"}}
            assert command(client, unsigned)["status"] == 401
            assert command(client, {"action": "deny"})["status"] == 400
            assert client.post("/.well-known/openc2", content=b"{}").status_code == 415
        assert httpx.post(f"{url}/api/v1/queries", json=asked).status_code == 401
    finally:
        reception.stop()


def command(client: httpx.Client, request: dict[str, Any]) -> Any:
    message = {"headers": {"request_id": "r1", "from": "cc.example"}, "body": {"openc2": {"request": request}}}
    headers = {"Content-Type": "application/openc2+json;version=1.0"}
    answer = client.post("/.well-known/openc2", content=json.dumps(message), headers=headers)
    assert answer.headers["content-type"] == "application/openc2+json;version=1.0"
    assert answer.json()["headers"]["request_id"] == "r1"
    return answer.json()["body"]["openc2"]["response"]
