"""The closed loop: seen, reported, determined, ordered, approved, in effect, proved, revoked, as one chain of evidence.

The coordinating centre, the agent and a real Unbound run on the gateway; every effect is looked at from the infected
host.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest
from gateway import Host, Running, fetch, run, serves, wait_for

from tapwarden import _core
from tapwarden.agent.orders.signature import shown_key
from tapwarden.agent.store.evidence import SigningKey
from tapwarden.mitigation.namespace import inside

C2, C2_V6, NAME, GOOD = "198.18.2.20", "2001:db8:2::20", "c2.beacon.test", "www.good.test"
CENTRE, GATEWAY = 8766, "198.18.1.1"
AGENT_TOKEN, OFFICER_TOKEN = "agent-token-for-the-loop", "officer-token-for-the-loop"

RULES = r"""
alert http any any -> any any (msg:"LOOP beacon to a command and control server"; flow:established,to_server; \
    http.method; content:"POST"; http.uri; content:"/gate.php"; startswith; http.user_agent; content:"(beacon)"; \
    classtype:command-and-control; sid:1000002; rev:1;)
"""

UNBOUND = """
server:
  interface: {gateway}@53
  interface: 127.0.0.1@53
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  logfile: "{folder}/unbound.log"
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  access-control: 198.18.0.0/15 allow
  access-control: 127.0.0.0/8 allow
  module-config: "respip iterator"
  qname-minimisation: no
  local-zone: "test." nodefault
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 198.18.2.53
rpz:
  name: "rpz.tapwarden"
  primary: 127.0.0.1@5310
  allow-notify: 127.0.0.1
"""


def settings(public_key: str) -> dict[str, Any]:
    """An agent that acts on nobody's word but the centre's and its own people's."""
    return {
        "sensor": {
            "name": "gateway-tap",
            "interface": "tap",
            "home_net": ["198.18.1.0/24", "2001:db8:1::/48"],
            "rules": ["loop.rules"],
        },
        "triage": {
            "policies": [
                {
                    "name": "command-and-control",
                    "match": {"sid": [1000002]},
                    "incident": {"class": "malicious_resource", "severity": 1},
                }
            ]
        },
        "mitigation": {
            "mode": "enforce",
            "rpz": {"enabled": True, "notify": ["127.0.0.1"], "verify": ["127.0.0.1"]},
        },
        "reporting": {
            "organisation": "Example Office",
            "responsible": "R. Esponsible",
            "contact": {"name": "Night Desk", "email": "soc@office.example", "phone": "+1 555 0100"},
            "coordinator": {"url": f"http://127.0.0.1:{CENTRE}", "token_file": "agent.token"},
            "auto_send": True,
        },
        "orders": {
            "enabled": True,
            "name": "agent-1",
            "issuers": [{"name": "cc.example", "public_key": public_key}],
            "poll": "2s",
        },
        "dashboard": {"enabled": False},
    }


@pytest.fixture
def host(network: Any, tmp_path: Path) -> Host:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "loop.rules").write_text(RULES)
    for name, token in (("agent.token", AGENT_TOKEN), ("officer.token", OFFICER_TOKEN)):
        (etc / name).write_text(token)
        (etc / name).chmod(0o600)
    made = Host(network.gateway, tmp_path)
    made.configure(settings(shown_key(SigningKey.at(etc / "order.key").public)))
    return made


@pytest.fixture
def centre(host: Host) -> Iterator[Running]:
    """The coordinating centre, on the gateway's loopback."""
    etc = host.root / "etc"
    names = ["--agent", f"agent-1={etc / 'agent.token'}", "--officer", f"duty={etc / 'officer.token'}"]
    started = host.start(
        "coordinator", "serve", "--name", "cc.example", *names, "--signing-key", str(etc / "order.key")
    )
    try:
        wait_for(lambda: serves(host.netns, CENTRE), 30, "the centre serves", started)
        yield started
    finally:
        started.stop()


@pytest.fixture
def resolver(host: Host, tmp_path: Path) -> Iterator[Callable[[Any, str], str]]:
    """An Unbound on the gateway, as the office's resolver: what the infected host is answered for a name."""
    program = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")
    if program is None:
        pytest.skip("Unbound is not installed")
    folder = tmp_path / "unbound"
    folder.mkdir()
    (folder / "unbound.conf").write_text(UNBOUND.format(folder=folder, gateway=GATEWAY))
    command = ["ip", "netns", "exec", host.netns, program, "-d", "-c", str(folder / "unbound.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answer(network: Any, name: str) -> str:
        query = dns.message.make_query(name, "A")
        try:
            said = inside(network.victim, lambda: dns.query.udp(query, GATEWAY, timeout=1))
        except (dns.exception.Timeout, OSError):
            return "silence"
        return str(said.answer[-1][0]) if said.answer else dns.rcode.to_text(said.rcode()).lower()

    try:
        yield answer
    finally:
        process.terminate()
        process.wait(10)


def officer(host: Host, path: str) -> Any:
    """What an officer of the centre is shown."""
    return fetch(host.netns, CENTRE, f"/api/v1/{path}", OFFICER_TOKEN)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("centre")
def test_from_the_first_packet_to_the_revoked_order(
    network: Any, host: Host, resolver: Callable[[Any, str], str]
) -> None:
    if not hasattr(_core, "RuleSet"):
        pytest.skip("this native core was built without the rule engine")
    token = str(host.root / "etc/officer.token")
    with run(host) as watching:
        wait_for(lambda: resolver(network, NAME) == C2, 30, "the resolver answers", watching)

        # An infected host calls home. It is seen; nobody here may stop it on their own.
        def reported() -> bool:
            assert network.beacon(4)
            return "acknowledged" in {each["state"] for each in host.ask("report", "list")}

        wait_for(reported, 60, "the incident is reported and the report acknowledged", watching)
        (incident,) = host.ask("incidents", "list")
        assert incident["state"] in {"suspected", "submitted"}
        assert network.beacon(4), "nothing is done without authority"

        # The centre determines that it is what it seems, and the agent hears of it.
        (report,) = officer(host, "reports")
        assert report["report"]["incident_id"] == incident["id"]
        host.ask(
            "coordinator",
            "determine",
            report["receipt"],
            "confirmed",
            "--reason",
            "seen elsewhere",
            "--token-file",
            token,
        )
        wait_for(
            lambda: host.ask("incidents", "list")[0]["state"] == "confirmed", 30, "the incident is confirmed", watching
        )

        # The centre orders: the name and both addresses. It waits for a person here.
        targets = [f"domain:{NAME}", f"address:{C2}", f"address:{C2_V6}"]
        ordered = host.ask(
            *("coordinator", "order", "--to", "agent-1", "--token-file", token),
            *(part for target in targets for part in ("--target", target)),
            *(
                "--category",
                "malicious_resource.c2_domain",
                "--instrument",
                "MIIT [2017] 202",
                "--article",
                "art. 8 (1)",
            ),
            *("--scope", "own network", "--reason", "Control server of a botnet"),
        )
        order_id = ordered["order_id"]

        def state() -> tuple[str, int]:
            found = officer(host, f"orders/{order_id}")
            return found["state"], found["code"]

        wait_for(lambda: state() == ("pending_approval", 102), 30, "the centre hears that it waits", watching)
        assert network.beacon(4)

        # A person approves it, and it is in effect: seen from the infected host, and proved to the centre.
        assert host.ask("orders", "approve", order_id, "--note", "known")["state"] in {"applied", "effective"}
        wait_for(lambda: resolver(network, NAME) == "nxdomain", 30, "the name is not answered any more", watching)
        for family in (4, 6):
            wait_for(lambda family=family: not network.beacon(family), 30, "the beacon stops", watching)  # type: ignore[misc]
        assert resolver(network, GOOD) == "198.18.2.80"
        assert network.browse(4), "only what was ordered is blocked"
        wait_for(lambda: state() == ("effective", 200), 60, "the centre has the proof", watching)
        effects = officer(host, f"orders/{order_id}")["feedback"][0]["effects"]
        proved = {(each["target"]["value"], each["mitigator"]) for each in effects if each["proof"]["effective"]}
        assert proved == {(NAME, "rpz"), (C2, "nftables"), (C2_V6, "nftables")}
        assert all(each["proof"]["expires_in_s"] > 0 for each in effects if each["mitigator"] == "nftables")

        # The centre revokes it: within a minute everything passes again, and the centre knows.
        started = time.monotonic()
        revocation = host.ask("coordinator", "revoke", order_id, "--reason", "cleaned up", "--token-file", token)
        wait_for(lambda: network.beacon(4) and network.beacon(6), 60, "the beacon passes again", watching)
        wait_for(lambda: resolver(network, NAME) == C2, 60, "the name is answered again", watching)
        assert time.monotonic() - started < 60
        wait_for(lambda: state() == ("revoked", 200), 30, "the centre knows that it is undone", watching)
        assert officer(host, f"orders/{revocation['order_id']}")["code"] in {0, 200}

        # One chain: the order stands behind every action, and the trail holds.
        assert {each["state"] for each in host.ask("actions", "list", "--all")} == {"rolled_back"}
        assert officer(host, "statistics")["all"]["orders"]["overdue"] == 0
        host.ask("audit", "verify")
    assert watching.process.returncode == 0, watching.said()
