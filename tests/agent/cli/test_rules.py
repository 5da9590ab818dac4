"""`tapwarden rules test`: real processes, captures made packet by packet."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

from tapwarden import _core

CLIENT, SERVER = "192.0.2.1", "198.18.0.1"
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def tapwarden(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tapwarden", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)


def session(exchanges: list[tuple[bool, bytes]], port: int = 80) -> list[Packet]:
    """A TCP session: (from the client, octets) one after the other, each acknowledged."""
    sequence = [1000, 5000]

    def segment(client: bool, flags: str, data: bytes = b"") -> Packet:
        me, other = (0, 1) if client else (1, 0)
        ends = [(CLIENT, 40_000), (SERVER, port)]
        tcp = TCP(sport=ends[me][1], dport=ends[other][1], flags=flags, seq=sequence[me], ack=sequence[other])
        sequence[me] += len(data) + (1 if set(flags) & set("SF") else 0)
        return Ether() / IP(src=ends[me][0], dst=ends[other][0]) / tcp / data

    packets = [segment(True, "S"), segment(False, "SA"), segment(True, "A")]
    for client, octets in exchanges:
        packets += [segment(client, "PA", octets), segment(not client, "A")]
    return [*packets, segment(True, "FA"), segment(False, "FA"), segment(True, "A")]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HTTP session of ten packets and a DNS query."""
    query = Ether() / IP(src=CLIENT, dst="198.18.0.53") / UDP(sport=5353, dport=53)
    packets = [*session([(True, REQUEST), (False, RESPONSE)]), query / DNS(rd=1, qd=DNSQR(qname="evil.example"))]
    for number, packet in enumerate(packets):
        packet.time = 1_700_000_000 + number / 100
    path = tmp_path_factory.mktemp("capture") / "http.pcap"
    wrpcap(str(path), packets)
    return path


@pytest.fixture
def looks(capture: Path, tmp_path: Path) -> Any:
    """Looks at one rule, by its header and options."""

    def at(header: str, options: str, *others: str) -> list[dict[str, Any]]:
        rules = tmp_path / "test.rules"
        rule = f'alert {header} (msg:"asked"; {options} sid:1;)'
        rules.write_text("\n".join([rule, *others]))
        done = tapwarden("rules", "test", rules, capture, "--why", "1", "-o", "json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)["looks"]

    return at


def furthest(looks: list[dict[str, Any]]) -> dict[str, Any]:
    """The look that is not about the header."""
    (look,) = [look for look in looks if look.get("stage") not in ("header", "direction", "protocol")]
    return look


def of_packet(looks: list[dict[str, Any]], number: int) -> dict[str, Any]:
    (look,) = [look for look in looks if look["packet"] == number]
    return look


@pytest.mark.parametrize(
    ("header", "options", "stage", "condition", "reason"),
    [
        (
            "http any any -> any any",
            'http.uri; content:"/index"; content:".php"; distance:0;',
            "http.uri",
            'content:".php"; distance:0',
            "it is nowhere in the 11 octets",
        ),
        (
            "http any any -> any any",
            'flow:to_server; http.uri; content:"index"; startswith;',
            "http.uri",
            'content:"index"; startswith',
            "it is at octet 1 of 11, but not where it is asked for",
        ),
        (
            "http any any -> any any",
            'flow:to_server; http.method; to_lowercase; content:"post";',
            "http.method; to_lowercase",
            'content:"post"',
            "it is nowhere in the 3 octets",
        ),
        (
            "http any any -> any any",
            'http.host; content:"example"; content:!"org"; distance:0;',
            "http.host",
            'content:!"org"; distance:0',
            "it is there, at octet 12",
        ),
        (
            "http any any -> any any",
            'flow:to_server; http.uri; pcre:"/[0-9]+/";',
            "http.uri",
            'pcre:"/[0-9]+/"',
            "it does not match the 11 octets",
        ),
        (
            "http any any -> any any",
            'flow:to_server; http.cookie; content:"x";',
            "http.cookie",
            None,
            "the transaction has none",
        ),
        (
            "dns any any -> any any",
            'dns.query; content:"evil"; dns.opcode:4;',
            "dns.opcode",
            "dns.opcode:4",
            "it is 0",
        ),
        (
            "http any any -> any any",
            'flow:to_server; http.uri; content:"index"; bsize:<9;',
            "http.uri",
            "bsize:<9",
            "there are 11 octets",
        ),
    ],
)
def test_a_transaction_says_which_condition_failed_first_and_what_it_met(
    looks: Any, header: str, options: str, stage: str, condition: str | None, reason: str
) -> None:
    look = furthest(looks(header, options))
    assert (look["outcome"], look["stage"], look.get("condition")) == ("no", stage, condition)
    assert look["reason"] == reason
    assert look["tx_id"] == 0


@pytest.mark.parametrize(
    ("header", "options", "packet", "stage", "condition", "reason"),
    [
        ("tcp any any -> any 443", "", 1, "header", "destination port 443", "it is 80"),
        ("tcp any 1:1024 -> any any", "", 1, "header", "source port 1:1024", "it is 40000"),
        ("tcp any any -> [10.0.0.0/8] any", "", 1, "header", "destination [10.0.0.0/8]", "it is 198.18.0.1"),
        ("udp any any -> any any", "", 1, "header", "protocol udp", "IP protocol is 6"),
        ("tcp any any -> any any", "flow:to_client;", 1, "direction", "flow:to_client", "it goes to the server"),
        ("tcp any any -> any any", "flow:established;", 1, "flow", "flow:established", "the flow is not established"),
        ("tcp any any -> any any", "flags:S; flowbits:isset,known;", 1, "state", "flowbits:isset,known", None),
        ("tcp any any -> any any", "ttl:<10; ttl:>1;", 1, "ttl", "ttl:<10", None),
        ("tcp any any -> any any", "ttl:>1; dsize:>100;", 4, "dsize", "dsize:>100", None),
        (
            "tcp-pkt any any -> any 80",
            'content:"GET "; byte_test:1,>,100,0,relative;',
            4,
            "payload",
            "byte_test:1,>,100,0,relative",
            "at octet 4 is 47 (0x2f), compared with 100",
        ),
        ("tcp any any -> any 80", 'content:"GET"; isdataat:100,relative;', 7, "payload", "isdataat:100,relative", None),
        (
            "tls any any -> any any",
            'tls.sni; content:"x";',
            10,
            "protocol",
            "app-layer protocol tls",
            "the flow speaks http",
        ),
    ],
)
def test_a_packet_says_which_condition_failed_first(
    looks: Any, header: str, options: str, packet: int, stage: str, condition: str, reason: str | None
) -> None:
    look = of_packet(looks(header, options), packet)
    assert (look["outcome"], look["stage"], look["condition"]) == ("no", stage, condition)
    if reason is not None:
        assert look["reason"] == reason


def test_a_match_says_where_each_condition_held(looks: Any) -> None:
    found = looks("http any any -> any any", 'http.uri; content:"/index"; content:".html"; distance:0;')
    (match,) = [look for look in found if look["outcome"] == "match"]
    places = [(place["buffer"], place["start"], place["end"]) for place in match["held"]]
    assert places == [("http.uri", 0, 6), ("http.uri", 6, 11)]
    assert match["octets"] == "/index.html"


def test_what_thresholds_and_pass_rules_keep_from_alerting_is_silent(looks: Any) -> None:
    limited = looks(
        "tcp any any -> any any", "flow:to_server; flags:A; threshold:type limit,track by_src,count 1,seconds 60;"
    )
    assert [look["outcome"] for look in limited if look["outcome"] != "no"] == ["match", "silent", "silent"]
    passed = looks("tcp any any -> any any", "flags:S;", "pass tcp any any -> any any (flags:S; sid:2;)")
    assert (of_packet(passed, 1)["outcome"], of_packet(passed, 1)["reason"]) == ("silent", "a pass rule matched first")


def test_a_flowbit_set_on_the_same_packet_counts(looks: Any) -> None:
    setter = "alert tcp any any -> any any (flags:S; flowbits:set,seen; flowbits:noalert; sid:2;)"
    found = looks("tcp any any -> any any", "flags:S; flowbits:isset,seen;", setter)
    assert of_packet(found, 1)["outcome"] == "match"


def test_asking_why_changes_no_alert(top: Path, tmp_path: Path) -> None:
    """Rules that are tried for the explanation alone leave nothing behind."""
    rules = _core.RuleSet("{}", [str(top / "examples" / "infected-host.rules")])
    assert rules.sids
    records = []
    for asked in ([], rules.sids):
        engine = _core.Engine("{}", rules)
        if asked:
            engine.explain(asked)
        source = _core.CaptureFile(str(top / "examples" / "infected-host.pcap"))
        read = b""
        while (batch := engine.read(source)) is not None:
            read += batch.raw
        records.append(read + engine.drain().raw)
        told = [json.loads(line) for line in engine.explanations(all=True).lines()]
        assert bool(told) == bool(asked)
    assert records[0] == records[1]
    assert b'"event_type":"alert"' in records[0]


def test_without_why_alerts_are_counted_by_rule(capture: Path, tmp_path: Path) -> None:
    rules = tmp_path / "test.rules"
    rules.write_text(
        "\n".join(
            [
                'alert tcp any any -> any 80 (msg:"to 80"; sid:1;)',
                'alert dns any any -> any any (msg:"query"; dns.query; content:"evil"; sid:2;)',
                'alert tcp any any -> any 443 (msg:"never"; sid:3;)',
                'alert tcp any any -> any any (msg:"bad"; nonsense; sid:4;)',
            ]
        )
    )
    done = tapwarden("rules", "test", rules, capture, "-o", "json")
    assert done.returncode == 0
    assert "test.rules:4" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["loaded"], summary["failed"]) == (3, 1)
    to_80, query = summary["alerts"]
    # IP-only rules look once at each direction of a flow.
    assert (to_80["sid"], to_80["alerts"], to_80["packets"], to_80["first_packet"]) == (1, 1, 1, 1)
    assert (query["sid"], query["alerts"], query["first_packet"]) == (2, 1, 11)
    assert query["first"].startswith("2023-11-14T22:13:20.10")


def test_people_see_a_table_and_no_control_characters(tmp_path: Path) -> None:
    bad = session([(True, b"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n")])
    wrpcap(str(tmp_path / "bad.pcap"), bad)
    rules = tmp_path / "test.rules"
    rules.write_text('alert http any any -> any any (msg:"x"; flow:to_server; http.uri; content:"blue"; sid:1;)')
    done = tapwarden("rules", "test", rules, tmp_path / "bad.pcap", "--why", "1")
    assert done.returncode == 0
    assert "failed first" in done.stdout
    assert 'content:"blue"' in done.stdout
    assert "red" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_rule_that_is_not_there_or_not_loaded_is_told(capture: Path, tmp_path: Path) -> None:
    rules = tmp_path / "test.rules"
    rules.write_text('alert tcp any any -> any any (msg:"bad"; nonsense; sid:4;)')
    done = tapwarden("rules", "test", rules, capture, "--why", "4")
    assert done.returncode == 1
    assert "rule 4 is not loaded" in done.stderr
    assert "nonsense" in done.stderr
    done = tapwarden("rules", "test", rules, capture, "--why", "5")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "tapwarden: there is no rule with sid 5")
