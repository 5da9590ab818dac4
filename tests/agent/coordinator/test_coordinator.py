"""The coordinating centre, served on a loopback socket."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tapwarden.agent.coordinator import CoordinatorSettings, serving
from tapwarden.model.errors import ConfigError, StoreError

AGENT, OTHER, OFFICER = "agent-token-0123456789", "other-token-0123456789", "officer-token-0123456"


def a_report(**changes: Any) -> dict[str, Any]:
    return {
        "report_id": "r1",
        "stage": "early",
        "reporter": "Example Networks",
        "detected_at": "2026-11-24T08:00:00Z",
        "category": "malicious_resource",
        "severity": "high",
        "summary": "unknown",
        "affected": "unknown",
        "measures_taken": "none",
        "contact": {"responsible_person": "Ann"},
        "tlp": "AMBER",
        "extra": {"kept": True},
    } | changes


def settings_in(folder: Path, **changes: Any) -> CoordinatorSettings:
    given: dict[str, Any] = {
        "database": folder / "coordinator.db",
        "agents": {"one": AGENT, "two": OTHER},
        "officers": {"duty": OFFICER},
        "port": 0,
        "faults": True,
    }
    return CoordinatorSettings(**(given | changes))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[httpx.Client]:
    with serving(settings_in(tmp_path)) as url, httpx.Client(base_url=url, headers=bearer(AGENT)) as client:
        yield client


def test_a_report_is_acknowledged_and_kept_over_a_restart(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as url:
        answer = httpx.post(f"{url}/api/v1/reports", json=a_report(), headers=bearer(AGENT))
    assert answer.status_code == 201
    receipt = answer.json()
    assert receipt["report_id"] == "r1"
    assert receipt["receipt"].endswith("-000001")
    with serving(settings_in(tmp_path)) as url:
        again = httpx.post(f"{url}/api/v1/reports", json=a_report(), headers=bearer(AGENT))
        (kept,) = httpx.get(f"{url}/api/v1/reports", headers=bearer(OFFICER)).json()
    assert (again.status_code, again.json()) == (200, receipt)
    assert kept["report"] == a_report()
    assert (kept["agent"], kept["revision"]) == ("one", 1)


def test_an_edited_report_under_its_id_keeps_its_receipt_and_counts_as_a_revision(centre: httpx.Client) -> None:
    first = centre.post("/api/v1/reports", json=a_report()).json()
    second = centre.post("/api/v1/reports", json=a_report(summary="now we know")).json()
    assert second == first
    (kept,) = centre.get("/api/v1/reports").json()
    assert (kept["revision"], kept["report"]["summary"]) == (2, "now we know")


def test_the_same_id_of_two_agents_is_two_reports_and_each_sees_its_own(centre: httpx.Client) -> None:
    one = centre.post("/api/v1/reports", json=a_report()).json()
    two = centre.post("/api/v1/reports", json=a_report(), headers=bearer(OTHER)).json()
    assert one["receipt"] != two["receipt"]
    assert [each["agent"] for each in centre.get("/api/v1/reports").json()] == ["one"]
    assert [each["agent"] for each in centre.get("/api/v1/reports", headers=bearer(OFFICER)).json()] == ["two", "one"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {AGENT}", "Bearer \xff"])
def test_without_a_valid_token_nothing_is_told(centre: httpx.Client, header: str | None) -> None:
    client = httpx.Client(base_url=centre.base_url)
    sent = {} if header is None else {"Authorization": header.encode("latin-1")}
    for answer in (
        client.post("/api/v1/reports", json=a_report(), headers=sent),
        client.get("/api/v1/reports", headers=sent),
    ):
        assert answer.status_code == 401
    client.close()


def test_health_needs_no_token(centre: httpx.Client) -> None:
    assert httpx.get(f"{centre.base_url}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("key", sorted(set(a_report()) - {"extra", "stage"}))
def test_a_missing_key_is_refused_by_name(centre: httpx.Client, key: str) -> None:
    report = a_report()
    del report[key]
    answer = centre.post("/api/v1/reports", json=report)
    assert answer.status_code == 422
    assert key in answer.json()["detail"]
    assert centre.get("/api/v1/reports").json() == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"stage":"early"}', b'{"stage":"later"}', b"\xff" * 20, b"[" * 100_000],
)
def test_what_is_no_report_is_refused(centre: httpx.Client, content: bytes) -> None:
    assert centre.post("/api/v1/reports", content=content).status_code == 422


def test_a_report_that_is_too_long_is_refused(centre: httpx.Client) -> None:
    assert centre.post("/api/v1/reports", json=a_report(summary="x" * 1_100_000)).status_code == 413


def test_an_officer_sends_no_reports_and_an_agent_switches_no_faults(centre: httpx.Client) -> None:
    assert centre.post("/api/v1/reports", json=a_report(), headers=bearer(OFFICER)).status_code == 403
    assert centre.post("/api/v1/faults", json={"kind": "error"}).status_code == 403


def test_faults_happen_as_often_as_asked(centre: httpx.Client) -> None:
    centre.post("/api/v1/faults", json={"kind": "error", "count": 2}, headers=bearer(OFFICER)).raise_for_status()
    answers = [centre.post("/api/v1/reports", json=a_report()).status_code for _ in range(3)]
    assert answers == [500, 500, 201]


def test_faults_are_not_there_unless_allowed(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, faults=False)) as url:
        answer = httpx.post(f"{url}/api/v1/faults", json={"kind": "error"}, headers=bearer(OFFICER))
    assert answer.status_code == 404


def test_the_same_report_from_many_connections_at_once_is_one_report(centre: httpx.Client) -> None:
    receipts: list[str] = []

    def send() -> None:
        answer = httpx.post(f"{centre.base_url}/api/v1/reports", json=a_report(), headers=bearer(AGENT))
        receipts.append(answer.json()["receipt"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 8
    assert len(set(receipts)) == 1


def test_unsafe_settings_are_refused(tmp_path: Path) -> None:
    for changes in (
        {"agents": {"one": "short"}},
        {"agents": {"one": AGENT, "two": AGENT}},
        {"host": "0.0.0.0"},
        {"certificate": "cert.pem"},
    ):
        with pytest.raises(ConfigError):
            settings_in(tmp_path, **changes)


def test_a_register_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make"), serving(settings_in(tmp_path / "file")):
        pass
    (tmp_path / "coordinator.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match=r"coordinator\.db"), serving(settings_in(tmp_path)):
        pass
