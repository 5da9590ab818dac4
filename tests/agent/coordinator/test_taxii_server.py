"""The centre as a TAXII server, before clients that nobody here wrote (taxii2-client) and before ours."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import postgresql
import pytest
from certificates import Authority
from taxii_peers import installed

from tapwarden.agent.coordinate.taxii import MEDIA_TYPE, StixObject, TaxiiClient, TaxiiError
from tapwarden.agent.coordinate.taxii_poll import Poller
from tapwarden.agent.coordinate.taxii_push import Pushed, Pusher
from tapwarden.agent.coordinate.transport import ChannelSettings, connect
from tapwarden.agent.coordinator import CoordinatorSettings, serving
from tapwarden.agent.orders import document
from tapwarden.model.errors import ChannelError

AGENT, OTHER, OFFICER = "agent-token-0123456789", "other-token-0123456789", "officer-token-0123456"
AT = "2026-11-24T08:00:00.000Z"

ORDER = {
    "to": "one",
    "wanted": [{"measure": "block", "type": "domain", "value": "c2.beacon.test"}],
    "category": "malicious_resource.c2_domain",
    "legal_basis": {"instrument": "MIIT [2017] 202", "article": "art. 8 (1)"},
    "reason": "Control server",
    "scope": {"text": "own network"},
    "lasts_s": 3600,
    "due_within_s": 1,
}


def settings_in(folder: Path, **changes: Any) -> CoordinatorSettings:
    given: dict[str, Any] = {
        "database": folder / "coordinator.db",
        "agents": {"one": AGENT, "two": OTHER},
        "officers": {"duty": OFFICER},
        "port": 0,
        "faults": True,
        "name": "cc.example",
    }
    return CoordinatorSettings(**(given | changes))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving(settings_in(tmp_path)) as started:
        yield started


@pytest.fixture
def officer(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {OFFICER}"}) as client:
        yield client


@pytest.fixture
def agent(url: str) -> Iterator[TaxiiClient]:
    with connect(ChannelSettings(url, token=AGENT), MEDIA_TYPE) as http:
        yield TaxiiClient.discover(url, http)


def note(**more: Any) -> dict[str, Any]:
    return {
        "type": "note",
        "spec_version": "2.1",
        "id": f"note--{uuid.uuid4()}",
        "created": AT,
        "modified": AT,
        "content": "n",
        "object_refs": [f"incident--{uuid.uuid4()}"],
    } | more


def push(client: TaxiiClient, *objects: StixObject, into: str = "feedback-in") -> Pushed:
    pusher = Pusher(client, client.collection(into), 10**6, random=Random(1), sleep=lambda _: None)
    return pusher.push(objects)


def poll(client: TaxiiClient, cursor: dict[str, str]) -> list[StixObject]:
    found: list[StixObject] = []
    load, save = (lambda: cursor.get("", "")), (lambda value: cursor.update({"": value}))
    Poller(client, "orders-out", load=load, save=save, limit=2).poll(found.extend)
    return found


CLIENT = """
import json, sys
from taxii2client.v21 import Server, Collection, as_pages
from taxii2client.exceptions import AccessError
url, secret, thing = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
server = Server(url + "/taxii2/", user="one", password=secret)
found = {each.title: each for each in server.default.collections}
sent = {"objects": [thing, {"type": "note", "id": "wrong"}]}
status = found["feedback-in"].add_objects(sent, wait_for_completion=True)
orders = found["orders-out"]
pages = [page.get("objects", []) for page in as_pages(orders.get_objects, per_request=2)]
one = pages[0][0]
try:
    found["reports-in"].get_objects()
    refused = False
except AccessError:
    refused = True
print(json.dumps({
    "title": server.title, "collections": sorted(found), "rights": [orders.can_read, orders.can_write],
    "status": [status.status, status.success_count, status.failure_count],
    "pages": [len(page) for page in pages], "manifest": len(orders.get_manifest()["objects"]),
    "again": orders.get_object(one["id"])["objects"][0]["id"] == one["id"],
    "versions": len(orders.object_versions(one["id"])["versions"]) if hasattr(orders, "object_versions") else 1,
    "typed": len(orders.get_objects(type="course-of-action").get("objects", [])),
    "none": len(orders.get_objects(type="malware").get("objects", [])), "refused": refused,
}))
"""


def test_taxii2_client_finds_its_collections_pushes_pages_and_is_kept_to_its_rights(
    top: Path, url: str, officer: httpx.Client
) -> None:
    for _ in range(3):
        assert officer.post("/api/v1/orders", json=ORDER).status_code == 201
    python = installed(top) / "medallion/bin/python"
    command = [str(python), "-c", CLIENT, url, AGENT, json.dumps(note())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "title": "Coordinating centre cc.example",
        "collections": ["answers-in", "feedback-in", "orders-out", "queries-out", "reports-in"],
        "rights": [True, False],
        "status": ["complete", 1, 1],
        "pages": [2, 1],
        "manifest": 3,
        "again": True,
        "versions": 1,
        "typed": 3,
        "none": 0,
        "refused": True,
    }


def test_an_order_is_polled_once_answered_and_its_answer_kept_with_the_proof(
    agent: TaxiiClient, officer: httpx.Client
) -> None:
    cursor: dict[str, str] = {}
    order_id = officer.post("/api/v1/orders", json=ORDER).json()["order_id"]
    (polled,) = poll(agent, cursor)
    assert poll(agent, cursor) == []
    assert polled["external_references"] == [{"source_name": "cc.example", "external_id": order_id}]
    said = {
        "order_id": order_id,
        "state": "effective",
        "code": 200,
        "at": "2026-11-24T08:00:05Z",
        "effects": [{"proof": {}}],
    }
    about = str(polled["id"])
    moment = datetime(2026, 11, 24, 8, tzinfo=UTC)
    push(agent, document.note("feedback", said, about=about, text="done", at=moment, names=(order_id, "1")))
    kept = officer.get(f"/api/v1/orders/{order_id}").json()
    assert (kept["state"], kept["code"]) == ("effective", 200)
    assert kept["feedback"][0]["effects"] == [{"proof": {}}]
    assert officer.get("/api/v1/statistics").json()["all"]["orders"] == {"issued": 1, "overdue": 0, "effective": 1}


def test_an_order_without_an_answer_is_overdue_and_shown_on_the_front_page(url: str, tmp_path: Path) -> None:
    ahead = {"kind": "skewed", "delay_s": 7200}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {OFFICER}"}) as officer:
        order_id = officer.post("/api/v1/orders", json=ORDER).json()["order_id"]
        officer.post("/api/v1/faults", json=ahead)
        overdue = officer.get("/api/v1/orders", params={"overdue": True}).json()
    assert [each["order_id"] for each in overdue] == [order_id]
    page = httpx.get(f"{url}/", auth=("duty", OFFICER))
    assert order_id in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_report_is_determined_by_an_officer_and_its_agent_hears_of_it(
    agent: TaxiiClient, officer: httpx.Client
) -> None:
    incident = note(type="incident", id=f"incident--{uuid.uuid4()}", name="beacon <script>")
    push(agent, incident, into="reports-in")
    (report,) = officer.get("/api/v1/reports").json()
    assert report["report_id"] == incident["id"]
    path = f"/api/v1/reports/{report['receipt']}/determination"
    assert officer.post(path, json={"state": "confirmed", "reason": "seen elsewhere"}).status_code == 201
    assert officer.post(path, json={"state": "maybe", "reason": "?"}).status_code == 422
    ourselves = {"Authorization": f"Bearer {AGENT}"}
    assert officer.post(path, json={"state": "confirmed", "reason": "x"}, headers=ourselves).status_code == 403
    ours = document.of_stix(poll(agent, {})[0], "determination")
    assert ours is not None
    assert (ours["determination"]["state"], ours["determination"]["report_id"]) == ("confirmed", incident["id"])
    page = httpx.get(officer.base_url.join("/reports"), auth=("duty", OFFICER)).text
    assert "beacon &lt;script&gt;" in page


@pytest.mark.parametrize(
    "change", [{"category": "content.rumour"}, {"category": "hidden_danger.backdoor"}, {"to": "nobody"}]
)
def test_what_may_not_be_ordered_is_not_issued(officer: httpx.Client, change: dict[str, str]) -> None:
    assert officer.post("/api/v1/orders", json=ORDER | change).status_code in {404, 422}
    assert officer.get("/api/v1/orders").json() == []


def test_agents_see_nothing_of_each_other_and_issue_no_orders(
    url: str, agent: TaxiiClient, officer: httpx.Client
) -> None:
    order_id = officer.post("/api/v1/orders", json=ORDER).json()["order_id"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {OTHER}"}) as other:
        assert other.get(f"/api/v1/orders/{order_id}").status_code == 404
        assert other.get("/api/v1/orders").json() == []
        assert other.post("/api/v1/orders", json=ORDER).status_code == 403
        ours = agent.collection("orders-out").id
        assert other.get(f"/taxii2/cc/collections/{ours}/objects/").status_code == 404
        assert (
            other.post("/api/v1/queries", json={"to": "one", "template": "top-classes", "purpose": "x"}).status_code
            == 403
        )


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "/taxii2/", {"Authorization": ""}, 401),
        ("GET", "/taxii2/", {"Accept": "application/json"}, 406),
        ("GET", "/taxii2/", {"Accept": "application/taxii+json;version=2.0"}, 406),
        ("GET", "/taxii2/", {"Accept": "application/taxii+json"}, 200),
        ("GET", "/taxii2/cc/collections/orders-out/objects/?added_after=yesterday", {}, 400),
        ("GET", "/taxii2/cc/collections/orders-out/objects/?limit=0", {}, 400),
        ("GET", "/taxii2/cc/collections/orders-out/objects/?next=x", {}, 400),
        ("GET", "/taxii2/cc/collections/none/objects/", {}, 404),
        ("POST", "/taxii2/cc/collections/orders-out/objects/", {}, 403),
        ("POST", "/taxii2/cc/collections/feedback-in/objects/", {"Content-Type": "application/json"}, 415),
        ("POST", "/taxii2/cc/collections/feedback-in/objects/", {}, 400),
        ("GET", "/taxii2/cc/status/none/", {}, 404),
        ("DELETE", "/taxii2/cc/collections/orders-out/objects/note--x/", {}, 403),
    ],
)
def test_what_is_asked_wrongly_has_its_number(
    url: str, method: str, path: str, headers: dict[str, str], expected: int
) -> None:
    given = {"Authorization": f"Bearer {AGENT}", "Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE} | headers
    assert httpx.request(method, url + path, headers=given, content=b"{").status_code == expected


def test_versions_are_kept_and_the_last_is_shown(agent: TaxiiClient, url: str) -> None:
    thing = note()
    later = thing | {"modified": "2026-11-24T09:00:00.000Z"}
    push(agent, thing, later, thing)
    basic = httpx.BasicAuth("duty", OFFICER)
    with httpx.Client(base_url=f"{url}/taxii2/cc/collections/", auth=basic) as officer:
        listed = officer.get("", headers={"Accept": MEDIA_TYPE}).json()["collections"]
        name = next(each["id"] for each in listed if each["title"] == "feedback-in of one")
        last = officer.get(f"{name}/objects/").json()["objects"]
        every = officer.get(f"{name}/objects/", params={"match[version]": "all"}).json()["objects"]
        versions = officer.get(f"{name}/objects/{thing['id']}/versions/").json()["versions"]
    assert last == [later]
    assert every == [thing, later]
    assert versions == ["2026-11-24T09:00:00.000000Z", "2026-11-24T08:00:00.000000Z"]


def test_what_the_centre_can_do_wrong_costs_an_agent_nothing(agent: TaxiiClient, officer: httpx.Client) -> None:
    ids = {officer.post("/api/v1/orders", json=ORDER).json()["order_id"] for _ in range(4)}
    cursor: dict[str, str] = {}
    for kind in ("error", "away", "nonsense", "endless"):
        officer.post("/api/v1/faults", json={"kind": kind, "on": "poll"})
        with pytest.raises(ChannelError):
            poll(agent, cursor)
    for kind in ("duplicate", "reordered"):
        officer.post("/api/v1/faults", json={"kind": kind, "on": "poll", "count": 9})
        found = poll(agent, {})
        assert {each["external_references"][0]["external_id"] for each in found} == ids
        officer.post("/api/v1/faults", json={"kind": kind, "count": 0})
    officer.post("/api/v1/faults", json={"kind": "partial", "on": "push"})
    sent = [note() for _ in range(4)]
    done = push(agent, *sent)
    assert done.accepted == {sent[0]["id"], sent[2]["id"]}
    assert set(done.failed.values()) == {"refused on demand"}
    officer.post("/api/v1/faults", json={"kind": "lost_answer", "on": "push"})
    with pytest.raises(TaxiiError, match="502"):
        push(agent, sent[1])
    assert push(agent, sent[1]).accepted == {sent[1]["id"]}


def test_a_short_lived_token_is_had_for_the_secret_and_lets_in(url: str) -> None:
    settings = ChannelSettings(url, user="one", password=AGENT, token_url=f"{url}/oauth2/token")
    with connect(settings, MEDIA_TYPE) as http:
        assert TaxiiClient.discover(url, http).collection("orders-out").can_read
    wrong = ChannelSettings(url, user="two", password=AGENT, token_url=f"{url}/oauth2/token")
    with connect(wrong, MEDIA_TYPE) as http, pytest.raises(ChannelError, match="no access token"):
        TaxiiClient.discover(url, http)


def test_a_certificate_of_the_agents_authority_lets_in_and_an_expired_one_of_the_centre_is_not_believed(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("127.0.0.1")
    ours, strange = authority.issue("one"), authority.issue("nobody")
    settings = settings_in(tmp_path, certificate=server.certificate, key=server.key, client_ca=authority.certificate)
    with serving(settings) as url:
        for identity, allowed in ((ours, True), (strange, False)):
            given = ChannelSettings(
                url, ca_file=authority.certificate, client_certificate=identity.certificate, client_key=identity.key
            )
            with connect(given, MEDIA_TYPE) as http:
                client = TaxiiClient(f"{url}/taxii2/cc/", http)
                if allowed:
                    assert client.collection("orders-out").can_read
                else:
                    with pytest.raises(TaxiiError, match="401"):
                        client.collections()
    old = authority.issue("127.0.0.1", ends=datetime.now(UTC) - timedelta(days=1))
    with serving(settings_in(tmp_path, certificate=old.certificate, key=old.key)) as url:
        given = ChannelSettings(url, token=AGENT, ca_file=authority.certificate)
        with connect(given, MEDIA_TYPE) as http, pytest.raises(ChannelError, match="expired"):
            TaxiiClient(f"{url}/taxii2/cc/", http).collections()


def test_the_centre_keeps_everything_in_postgresql_as_well(tmp_path: Path) -> None:
    with postgresql.server() as template:
        where = postgresql.new_database(template).replace("+psycopg", "")
        settings = settings_in(tmp_path, database=where, signing_key=tmp_path / "order.key")
        bearer = {"Authorization": f"Bearer {OFFICER}"}
        with serving(settings) as url, httpx.Client(base_url=url, headers=bearer) as duty:
            order_id = duty.post("/api/v1/orders", json=ORDER).json()["order_id"]
        with (
            serving(settings) as url,
            httpx.Client(base_url=url, headers=bearer) as duty,
            connect(ChannelSettings(url, token=AGENT), MEDIA_TYPE) as http,
        ):
            client = TaxiiClient.discover(url, http)
            assert len(poll(client, {})) == 1, "after a restart"
            incident = note(type="incident", id=f"incident--{uuid.uuid4()}", name="beacon")
            assert push(client, incident, into="reports-in").accepted == {incident["id"]}
            (report,) = duty.get("/api/v1/reports").json()
            finding = {"state": "rejected", "reason": "a scanner of our own"}
            assert duty.post(f"/api/v1/reports/{report['receipt']}/determination", json=finding).status_code == 201
            figures = duty.get("/api/v1/statistics").json()["agents"]["one"]
            assert (figures["orders"]["issued"], figures["determinations"]) == (1, {"rejected": 1})
            assert duty.get("/api/v1/orders").json()[0]["order_id"] == order_id


def test_forms_of_other_sites_issue_nothing(url: str) -> None:
    form = {"reason": "x"}
    answer = httpx.post(
        f"{url}/orders/x/revocation", data=form, auth=("duty", OFFICER), headers={"Origin": "https://evil.test"}
    )
    assert answer.status_code == 403
