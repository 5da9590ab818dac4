"""The TAXII client against servers nobody here wrote: medallion 3.0.0, and OpenTAXII 0.9.3, which falls over SCOs."""

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from taxii_peers import Peer, installed, medallion, opentaxii

from tapwarden.agent.coordinate.taxii import MEDIA_TYPE, StixObject, TaxiiClient, TaxiiError, envelope
from tapwarden.agent.coordinate.taxii_channel import TaxiiChannel
from tapwarden.agent.coordinate.taxii_poll import Poller
from tapwarden.agent.coordinate.taxii_push import Pusher
from tapwarden.agent.coordinate.transport import ChannelSettings, connect
from tapwarden.agent.orders import document
from tapwarden.agent.orders.gate import GateRules, Seen, admit
from tapwarden.agent.orders.writing import Issuer, Wording
from tapwarden.model.decision import Measure, Target, TargetType
from tapwarden.model.errors import ChannelError
from tapwarden.model.report import Report, ReportState, Stage

AT = "2026-11-24T08:00:00.000Z"


@pytest.fixture(scope="module")
def peers(top: Path) -> Path:
    return installed(top)


@pytest.fixture(scope="module", params=[medallion, opentaxii], ids=["medallion", "opentaxii"])
def peer(request: pytest.FixtureRequest, peers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with request.param(peers, tmp_path_factory.mktemp("peer")) as started:
        yield started


def settings_for(peer: Peer, **changes: Any) -> ChannelSettings:
    return ChannelSettings(**({"url": peer.url, "user": peer.user, "password": peer.password} | changes))


@pytest.fixture
def a_report() -> Report:
    at = datetime(2026, 11, 24, 8, tzinfo=UTC)
    return Report("r1", "i1", Stage.EARLY, ReportState.READY, 1, at, at + timedelta(hours=24), {})


@pytest.fixture
def client(peer: Peer) -> Iterator[TaxiiClient]:
    with connect(settings_for(peer), MEDIA_TYPE) as http:
        yield TaxiiClient.discover(peer.url, http)


def note(text: str = "n", **more: Any) -> dict[str, Any]:
    return {
        "type": "note",
        "spec_version": "2.1",
        "id": f"note--{uuid.uuid4()}",
        "created": AT,
        "modified": AT,
        "content": text,
        "object_refs": [f"incident--{uuid.uuid4()}"],
    } | more


def pusher(client: TaxiiClient, name: str = "reports-in", most: int | None = None) -> Pusher:
    most = most if most is not None else client.root().max_content_length
    return Pusher(client, client.collection(name), most, random=Random(1), sleep=lambda _: None)


def read(client: TaxiiClient, name: str, cursor: dict[str, str], limit: int = 100) -> list[str]:
    found: list[str] = []

    def take(objects: Sequence[StixObject]) -> None:
        found.extend(str(each["id"]) for each in objects)

    load, save = (lambda: cursor.get(name, "")), (lambda value: cursor.update({name: value}))
    Poller(client, name, load=load, save=save, limit=limit).poll(take)
    return found


def test_what_is_pushed_is_polled_once_from_the_servers_own_cursor(client: TaxiiClient) -> None:
    cursor: dict[str, str] = {}
    read(client, "orders-out", cursor)
    sent = [note(str(n)) for n in range(5)]
    assert pusher(client, "orders-out").push(sent).accepted == {each["id"] for each in sent}
    assert sorted(read(client, "orders-out", cursor, limit=2)) == sorted(each["id"] for each in sent), "three pages"
    assert read(client, "orders-out", cursor) == []
    later = note("later")
    pusher(client, "orders-out").push([later])
    assert read(client, "orders-out", cursor) == [later["id"]]


def test_a_poll_that_fails_half_way_is_given_the_same_objects_again(client: TaxiiClient) -> None:
    cursor: dict[str, str] = {}
    read(client, "feedback-in", cursor)
    pusher(client, "feedback-in").push([note(), note(), note()])

    def fall(objects: Sequence[StixObject]) -> None:
        raise OSError("the disk is full")

    load, save = (lambda: cursor.get("feedback-in", "")), (lambda value: cursor.update({"feedback-in": value}))
    with pytest.raises(OSError, match="full"):
        Poller(client, "feedback-in", load=load, save=save).poll(fall)
    assert len(read(client, "feedback-in", cursor)) == 3


def test_a_signed_order_comes_through_a_server_that_knows_nothing_of_it(client: TaxiiClient) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    wording = Wording(
        category="malicious_resource.c2_domain",
        legal_basis={"instrument": "MIIT [2017] 202", "article": "art. 8 (1)"},
        reason="Kontrollserver \u2013 \u63a7\u5236",
        scope={"text": "own network"},
        lasts=timedelta(days=1),
        due_within=timedelta(hours=1),
    )
    wanted = [(Measure.SINKHOLE, Target(TargetType.DOMAIN, "c2.beacon.test"))]
    now = datetime.now(UTC)
    content, signature = Issuer("cc.example", key.sign).order("CC-1", 1, "agent-1", wanted, wording, now)
    cursor: dict[str, str] = {}
    read(client, "orders-out", cursor)
    pusher(client, "orders-out").push([document.course_of_action(content, signature, now)])
    polled: list[StixObject] = []
    Poller(client, "orders-out", load=lambda: cursor["orders-out"], save=lambda _: None).poll(polled.extend)
    ours = document.of_stix(polled[0], "order")
    assert ours is not None
    rules = GateRules("agent-1", {"cc.example": key.public_key().public_bytes_raw()})
    nothing_seen = Seen(lambda _: None, lambda _issuer, _seq: None, lambda _: 0)
    assert admit(ours["order"], ours["signature"], rules, nothing_seen, now).targets == (wanted[0][1],)


def test_more_than_the_server_takes_at_once_goes_in_parts_and_what_is_too_large_is_told_apart(
    client: TaxiiClient,
) -> None:
    sent = [note("x" * 300) for _ in range(10)]
    large = note("x" * 5000)
    done = pusher(client, most=2000).push([*sent[:5], large, *sent[5:]])
    assert done.accepted == {each["id"] for each in sent}
    assert list(done.failed) == [large["id"]]
    assert len(done.statuses) >= 4


def test_a_collection_that_may_not_be_written_is_not_written_to(client: TaxiiClient) -> None:
    read_only = client.collection("read-only")
    assert (read_only.can_read, read_only.can_write) == (True, False)
    with pytest.raises(ChannelError, match="may not write"):
        pusher(client, "read-only").push([note()])
    with pytest.raises(TaxiiError) as refused:
        client.add(read_only.id, envelope([note()]))
    assert refused.value.status in {403, 404}


def test_an_object_the_server_falls_over_is_isolated_and_the_rest_goes_on(peer: Peer) -> None:
    """OpenTAXII answers 500 to a bundle with an SCO in it, which has no ``modified`` (STIX 2.1 section 3.1)."""
    incident = note("the report", type="incident", id=f"incident--{uuid.uuid4()}", name="beacon")
    address = {"type": "ipv4-addr", "spec_version": "2.1", "id": f"ipv4-addr--{uuid.uuid4()}", "value": "192.0.2.1"}
    channel = TaxiiChannel(settings_for(peer))
    try:
        done = channel.push([note("a"), address, incident, note("b")])
    finally:
        channel.close()
    assert incident["id"] in done.accepted
    assert len(done.accepted) >= 3
    assert set(done.failed) <= {address["id"]}
    if "/cc/" in peer.url:
        assert address["id"] in done.accepted, "medallion takes it"
    else:
        assert "500" in done.failed[address["id"]]


def test_the_channel_gives_the_servers_status_as_the_receipt(peer: Peer, a_report: Report) -> None:
    incident = note("the report", type="incident", id=f"incident--{uuid.uuid4()}", name="beacon")
    bundle = json.dumps({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [incident, note()]}).encode()
    channel = TaxiiChannel(settings_for(peer))
    try:
        receipt = channel.send(a_report, bundle, "application/stix+json;version=2.1")
        with pytest.raises(ChannelError, match=r"reporting\.format: stix") as refused:
            channel.send(a_report, b"{}", "application/json")
    finally:
        channel.close()
    assert uuid.UUID(receipt.number)
    assert receipt.received_at.tzinfo is not None
    assert json.loads(receipt.raw)["failed"] == {}
    assert refused.value.permanent


def test_wrong_credentials_leave_the_report_due(peer: Peer, a_report: Report) -> None:
    bundle = json.dumps({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [note()]}).encode()
    channel = TaxiiChannel(settings_for(peer, password="wrong"))
    try:
        with pytest.raises(ChannelError, match="401") as refused:
            channel.send(a_report, bundle, "application/stix+json;version=2.1")
    finally:
        channel.close()
    assert not refused.value.permanent
