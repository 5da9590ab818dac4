"""Made-up events in the proportions of an office network, as the engine writes them; the same for the same seed."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tapwarden.model.event import Event

START = datetime(2026, 11, 1, tzinfo=UTC)
MIX = {"dns": 36, "flow": 34, "tls": 11, "http": 8, "fileinfo": 4, "alert": 5, "anomaly": 1, "quic": 1}
"""Events of each type among a hundred."""

HOSTS, SERVERS, NAMES, RULES = 400, 20_000, 30_000, 300


class Traffic:
    """Events in order of time, spread evenly over some days."""

    def __init__(self, seed: int, days: float, total: int) -> None:
        self._random = random = Random(seed)
        self._step = timedelta(days=days) / max(total, 1)
        self._hosts = [f"10.{random.randrange(4)}.{n // 250}.{n % 250 + 1}" for n in range(HOSTS)]
        self._servers = [
            f"{random.randrange(11, 223)}.{random.randrange(256)}.{random.randrange(256)}.9" for _ in range(SERVERS)
        ]
        tops = ("com", "net", "org", "example", "cn", "io")
        first = ("www", "api", "cdn", "mail", "a")
        self._names = [
            f"{random.choice(first)}{random.randrange(50)}.{self._word()}.{random.choice(tops)}" for _ in range(NAMES)
        ]
        self._signatures = [f"ET MALWARE {self._word().title()} Checkin {n}" for n in range(RULES)]
        self._kinds = [kind for kind, share in MIX.items() for _ in range(share)]
        self._made = 0

    def batches(self, total: int, size: int) -> Iterator[Sequence[Event]]:
        """So many events, in batches of this size."""
        while total > 0:
            yield [self._event() for _ in range(min(size, total))]
            total -= size

    def _word(self) -> str:
        return "".join(self._random.choice("abcdefghijklmnoprstuvw") for _ in range(self._random.randrange(5, 12)))

    def _popular(self, values: Sequence[str]) -> str:
        """Few of them often, most of them rarely."""
        return values[int(len(values) * self._random.random() ** 3)]

    def _event(self) -> Event:
        random, number = self._random, self._made
        self._made += 1
        kind = random.choice(self._kinds)
        record: dict[str, Any] = {
            "timestamp": (START + number * self._step).strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
            "flow_id": random.getrandbits(50),
            "in_iface": "eth1",
            "event_type": kind,
            "src_ip": self._popular(self._hosts),
            "src_port": random.randrange(32768, 61000),
            "dest_ip": self._popular(self._servers),
            "dest_port": 443,
            "proto": "TCP",
            "community_id": f"1:{random.getrandbits(156):039x}"[:29] + "=",
            "host": "gate",
        }
        getattr(self, f"_{kind}")(record)
        raw = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        return Event(raw, f"engine-0:{number}")

    def _dns(self, record: dict[str, Any]) -> None:
        record |= {"dest_port": 53, "proto": "UDP", "app_proto": "dns", "dest_ip": "10.0.0.53"}
        name = self._popular(self._names)
        record["dns"] = {
            "type": "answer",
            "id": self._random.getrandbits(16),
            "flags": "8180",
            "qr": True,
            "rrname": name,
        }
        record["dns"] |= {"rrtype": "A", "rcode": "NOERROR"}
        record["dns"]["answers"] = [{"rrname": name, "rrtype": "A", "ttl": 300, "rdata": self._popular(self._servers)}]

    def _flow(self, record: dict[str, Any]) -> None:
        random = self._random
        record["app_proto"] = "tls"
        record["flow"] = {
            "pkts_toserver": random.randrange(3, 99),
            "pkts_toclient": random.randrange(3, 99),
            "bytes_toserver": random.randrange(200, 99_999),
            "bytes_toclient": random.randrange(200, 999_999),
            "start": record["timestamp"],
            "end": record["timestamp"],
            "age": random.randrange(60),
            "state": "closed",
            "reason": "timeout",
            "alerted": False,
        }

    def _tls(self, record: dict[str, Any]) -> None:
        record["app_proto"] = "tls"
        record["tls"] = {
            "sni": self._popular(self._names),
            "version": "TLS 1.3",
            "ja3": {
                "hash": f"{self._random.randrange(200):032x}",
                "string": "771,4865-4866-4867,0-11-10-35-16-5-13,29-23,0",
            },
            "ja3s": {"hash": f"{self._random.randrange(90):032x}", "string": "771,4865,43-51"},
            "ja4": f"t13d1516h2_{self._random.randrange(200):012x}_e5627efa2ab1",
        }

    def _quic(self, record: dict[str, Any]) -> None:
        record |= {"proto": "UDP", "app_proto": "quic", "quic": {"version": "1", "sni": self._popular(self._names)}}

    def _http(self, record: dict[str, Any]) -> None:
        record |= {"dest_port": 80, "app_proto": "http"}
        record["http"] = {
            "hostname": self._popular(self._names),
            "url": f"/{self._word()}/{self._word()}?id={self._random.getrandbits(24)}",
            "http_user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "http_content_type": "text/html",
            "http_method": "GET",
            "protocol": "HTTP/1.1",
            "status": 200,
            "length": self._random.randrange(100_000),
        }

    def _fileinfo(self, record: dict[str, Any]) -> None:
        self._http(record)
        sha256 = f"{self._random.getrandbits(256):064x}"
        record["fileinfo"] = {
            "filename": record["http"]["url"],
            "state": "CLOSED",
            "stored": False,
            "size": 4096,
            "tx_id": 0,
        }
        record["fileinfo"]["sha256"] = sha256

    def _alert(self, record: dict[str, Any]) -> None:
        rule = int(RULES * self._random.random() ** 3)
        record["app_proto"] = "tls"
        record["alert"] = {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2_000_000 + rule,
            "rev": 2,
            "signature": self._signatures[rule],
            "category": "Malware Command and Control Activity Detected",
            "severity": 1 + rule % 3,
            "metadata": {"mitre_tactic_id": ["TA0011"], "mitre_technique_id": ["T1071"], "updated_at": ["2026_01_01"]},
        }

    def _anomaly(self, record: dict[str, Any]) -> None:
        record["anomaly"] = {"type": "stream", "event": "stream.pkt_invalid_ack"}
