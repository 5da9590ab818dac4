"""The bouncer interface: a real CrowdSec bouncer takes our blocks, and lists are pulled as firewalls do."""

import base64
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from resolvers import Resolvers

from tapwarden.mitigation.bouncer import Bouncer
from tapwarden.mitigation.namespace import inside
from tapwarden.model.decision import Action, Target, TargetType
from tapwarden.model.errors import MitigationError

KEY = "edge-0123456789abcdef0123456789abcdef"

CROWDSEC = """
mode: nftables
pid_dir: {folder}
update_frequency: 1s
daemonize: false
log_mode: stdout
log_level: info
api_url: http://127.0.0.1:{port}/
api_key: {key}
disable_ipv6: false
deny_action: DROP
deny_log: false
blacklists_ipv4: crowdsec-blacklists
blacklists_ipv6: crowdsec6-blacklists
nftables:
  ipv4: {{enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}}
  ipv6: {{enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}}
"""


@pytest.fixture
def bouncer(tmp_path: Path, netns: str) -> Iterator[Bouncer]:
    made = Bouncer(folder=tmp_path / "bouncer", keys={"edge": KEY}, port=0, netns=netns)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def get(bouncer: Bouncer, netns: str) -> Callable[..., httpx.Response]:
    def ask(path: str, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()} or {"X-Api-Key": KEY}
        url = f"http://127.0.0.1:{bouncer.port}{path}"
        return inside(netns, lambda: httpx.get(url, headers=given, timeout=10, trust_env=False))

    return ask


def test_a_real_crowdsec_bouncer_blocks_and_unblocks_what_we_decide(
    bouncer: Bouncer, netns: str, tmp_path: Path, act: Callable[..., Action], now: datetime
) -> None:
    if not shutil.which("crowdsec-firewall-bouncer"):
        pytest.skip("crowdsec-firewall-bouncer is not installed")
    configuration = tmp_path / "crowdsec.yaml"
    configuration.write_text(CROWDSEC.format(folder=tmp_path, port=bouncer.port, key=KEY))
    stays, goes, six = act("198.18.7.1"), act("198.18.7.2"), act("2001:db8:7::1")
    bouncer.apply([stays], now)
    assert [entry.effective for entry in bouncer.list()] == [False], "nobody has pulled it"
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            ["ip", "netns", "exec", netns, "crowdsec-firewall-bouncer", "-c", str(configuration)],
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: "198.18.7.1" in ruleset(netns), tmp_path / "output")
        bouncer.apply([goes, six], now)
        wait_for(lambda: "198.18.7.2" in ruleset(netns) and "2001:db8:7::1" in ruleset(netns), tmp_path / "output")
        assert all(entry.effective for entry in bouncer.list())
        bouncer.withdraw([goes])
        wait_for(lambda: "198.18.7.2" not in ruleset(netns), tmp_path / "output")
        assert "198.18.7.1" in ruleset(netns)
    finally:
        process.terminate()
        process.wait(timeout=10)


def ruleset(netns: str) -> str:
    command = ["ip", "netns", "exec", netns, "nft", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def wait_for(condition: Callable[[], bool], output: Path, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, output.read_text(errors="replace")
        time.sleep(0.2)


def test_a_puller_gets_everything_at_first_and_then_what_changed(
    bouncer: Bouncer, get: Callable[..., httpx.Response], act: Callable[..., Action], now: datetime
) -> None:
    bouncer.apply([act("198.18.7.1"), act("198.18.8.0/24")], now)
    first = get("/v1/decisions/stream?startup=true").json()
    assert {(one["scope"], one["value"], one["type"]) for one in first["new"]} == {
        ("Ip", "198.18.7.1", "ban"),
        ("Range", "198.18.8.0/24", "ban"),
    }
    assert first["deleted"] is None
    assert get("/v1/decisions/stream").json() == {"new": None, "deleted": None}
    bouncer.withdraw([act("198.18.7.1")])
    bouncer.apply([act("198.18.9.9")], now)
    second = get("/v1/decisions/stream?startup=false").json()
    assert [one["value"] for one in second["new"]] == ["198.18.9.9"]
    assert [one["value"] for one in second["deleted"]] == ["198.18.7.1"]


def test_a_name_is_told_only_to_those_who_ask_for_names(
    bouncer: Bouncer, get: Callable[..., httpx.Response], act: Callable[..., Action], now: datetime
) -> None:
    bouncer.apply([act("c2.example"), act("198.18.7.1")], now)
    assert [one["value"] for one in get("/v1/decisions/stream?startup=true").json()["new"]] == ["198.18.7.1"]
    both = get("/v1/decisions/stream?startup=true&scopes=ip,domain").json()["new"]
    assert {one["scope"] for one in both} == {"Ip", "Domain"}


def test_one_address_is_looked_up_with_the_networks_around_it(
    bouncer: Bouncer, get: Callable[..., httpx.Response], act: Callable[..., Action], now: datetime
) -> None:
    bouncer.apply([act("198.18.8.0/24"), act("198.18.7.1"), act("2001:db8:8::/48")], now)
    [found] = get("/v1/decisions?ip=198.18.8.77").json()
    assert found["value"] == "198.18.8.0/24"
    assert float(found["duration"].removesuffix("s")) == pytest.approx(4 * 3600, abs=10)
    [found] = get("/v1/decisions?ip=2001:db8:8::5").json()
    assert found["value"] == "2001:db8:8::/48"
    assert get("/v1/decisions?ip=198.18.1.1").json() is None
    assert get("/v1/decisions?ip=nonsense").status_code == 400


def test_lists_are_plain_text_by_type_and_not_sent_again_unchanged(
    bouncer: Bouncer, get: Callable[..., httpx.Response], act: Callable[..., Action], now: datetime
) -> None:
    endpoint = act(Target(TargetType.ENDPOINT, "198.18.7.1:443/tcp"))
    everything = ["198.18.7.1", "198.18.8.0/24", "2001:db8::1", "c2.example", 'http://c2.example/a,"b']
    bouncer.apply([*map(act, everything[:4]), act(Target(TargetType.URL, everything[4])), endpoint], now)
    assert get("/lists/addresses").text == "198.18.7.1\n198.18.8.0/24\n2001:db8::1\n"
    assert get("/lists/ipv6.txt").text == "2001:db8::1\n"
    assert get("/lists/domains").text == "c2.example\n"
    assert get("/lists/endpoints").text == "198.18.7.1:443/tcp\n"
    assert '"http://c2.example/a,""b",url,' in get("/lists/urls?format=csv").text
    assert get("/lists/domains?format=json").json()[0]["value"] == "c2.example"
    etag = get("/lists/addresses").headers["etag"]
    again = get("/lists/addresses", X_Api_Key=KEY, If_None_Match=etag)
    assert (again.status_code, again.content) == (304, b"")
    bouncer.withdraw([act("198.18.7.1")])
    assert get("/lists/addresses", X_Api_Key=KEY, If_None_Match=etag).status_code == 200
    assert get("/lists/passwords").status_code == 404


def test_dnsmasq_reads_the_list_of_names(
    bouncer: Bouncer,
    get: Callable[..., httpx.Response],
    act: Callable[..., Action],
    now: datetime,
    netns: str,
    tmp_path: Path,
) -> None:
    alone = act(Target(TargetType.HOSTNAME, "www.good.example"))
    bouncer.apply([act("c2.example"), alone, act("198.18.7.1")], now)
    listed = tmp_path / "servers"
    listed.write_text("")
    servers = Resolvers(netns, tmp_path)
    try:
        servers.authority()
        dnsmasq = servers.dnsmasq(file=listed)
        assert dnsmasq.ask("www.c2.example") == "198.18.0.67"
        listed.write_text(get("/lists/domains?format=dnsmasq").text)
        dnsmasq.reload()
        assert dnsmasq.comes_to("www.c2.example", "nxdomain")
        assert dnsmasq.ask("c2.example") == "nxdomain"
        # dnsmasq has no way to say a name without those below it: it is left out.
        assert dnsmasq.ask("www.good.example") == "198.18.0.67"
    finally:
        servers.stop()
    assert get("/lists/addresses?format=dnsmasq").status_code == 404


def test_without_a_key_nothing_is_said(get: Callable[..., httpx.Response]) -> None:
    basic = {"Authorization": f"Basic {base64.b64encode(f'edge:{KEY}'.encode()).decode()}"}
    for path in ("/v1/decisions", "/v1/decisions/stream", "/lists/addresses"):
        assert get(path, **basic).status_code == 200
        for wrong in ({"X_Api_Key": KEY[:-1]}, {"Authorization": "Basic !"}, {"Accept": "*/*"}):
            assert get(path, **wrong).status_code == 403


def test_what_a_puller_has_not_come_for_lately_does_not_count_as_effect(
    tmp_path: Path, act: Callable[..., Action], now: datetime
) -> None:
    at = [1000.0]
    bouncer = Bouncer(folder=tmp_path, keys={"edge": KEY}, clock=lambda: at[0])
    bouncer.apply([act("198.18.7.1")], now)
    bouncer._listing.told("edge", at[0])
    assert [entry.effective for entry in bouncer.list()] == [True]
    at[0] += 3600
    assert [entry.effective for entry in bouncer.list()] == [False]
    at[0] += timedelta(hours=4).total_seconds()
    assert list(bouncer.list()) == []


def test_a_puller_that_was_away_too_long_gets_everything_again(
    bouncer: Bouncer,
    get: Callable[..., httpx.Response],
    act: Callable[..., Action],
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tapwarden.mitigation.bouncer.listing.REMEMBERED", 10)
    bouncer.apply([act("198.18.7.1")], now)
    get("/v1/decisions/stream?startup=true")
    for number in range(20):
        bouncer.apply([act(f"198.18.8.{number}")], now)
        bouncer.withdraw([act(f"198.18.8.{number}")])
    answer = get("/v1/decisions/stream").json()
    assert [one["value"] for one in answer["new"]] == ["198.18.7.1"]


def test_a_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fewer than 20 characters"):
        Bouncer(folder=tmp_path, keys={"edge": "secret"})


def test_a_port_that_is_taken_is_a_clear_error(bouncer: Bouncer, netns: str, tmp_path: Path) -> None:
    other = Bouncer(folder=tmp_path / "other", keys={}, port=bouncer.port, netns=netns)
    with pytest.raises(MitigationError, match=r"bouncers cannot be served on 127\.0\.0\.1 port"):
        other.start()
