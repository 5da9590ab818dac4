"""Build infected-host.pcap: a small office morning in which one workstation turns out to be infected.

All names are under the reserved .test and .example domains, all addresses from documentation ranges (RFC 5737,
RFC 3849) or private. Deterministic: the same file every time.

    python examples/build_infected_host.py [OUT]
"""

import random
import sys
from collections.abc import Iterable
from pathlib import Path

from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapWriter

START = 1_790_000_000.0
RESOLVER, WEB, MAIL = "10.20.0.53", "198.51.100.20", "198.51.100.25"
C2, C2_V6, C2_NAME = "203.0.113.66", "2001:db8:66::66", "update.evil-cdn.test"
WORKSTATIONS = [f"10.20.0.{n}" for n in range(11, 19)]
INFECTED, INFECTED_V6 = WORKSTATIONS[3], "2001:db8:20::14"


class Morning:
    """Collects packets with their times."""

    def __init__(self) -> None:
        self.random = random.Random(20)
        self.packets: list[tuple[float, Packet]] = []
        self.port = 40_000

    def add(self, at: float, packet: Packet) -> None:
        """One packet at ``at`` seconds after the start."""
        self.packets.append((at, packet))

    def dns(self, at: float, client: str, name: str, answers: Iterable[tuple[str, str]]) -> float:
        """A question to the resolver and its answer; returns when it is over."""
        self.port += 1
        ident = self.random.randrange(65536)
        answers = list(answers)
        kind = answers[0][0] if answers else "A"
        question = DNSQR(qname=name, qtype=kind)
        ask = IP(src=client, dst=RESOLVER) / UDP(sport=self.port, dport=53) / DNS(id=ident, rd=1, qd=question)
        records = [DNSRR(rrname=name, type=kind, ttl=300, rdata=data) for kind, data in answers]
        reply = DNS(id=ident, qr=1, rd=1, ra=1, rcode=0 if records else 3, qd=question, an=records or None)
        answer = IP(src=RESOLVER, dst=client) / UDP(sport=53, dport=self.port) / reply
        self.add(at, ether(ask))
        self.add(at + 0.004, ether(answer))
        return at + 0.005

    def tcp(self, at: float, client: str, server: str, port: int, talk: Iterable[tuple[str, bytes]]) -> float:
        """A whole session; ``talk`` is ("c" or "s", octets) in turn; returns when it is over."""
        self.port += 1
        ip = IPv6 if ":" in client else IP
        seq = {"c": self.random.randrange(1 << 31), "s": self.random.randrange(1 << 31)}
        ends = {"c": (client, server, self.port, port), "s": (server, client, port, self.port)}

        def send(side: str, flags: str, data: bytes = b"") -> None:
            nonlocal at
            src, dst, sport, dport = ends[side]
            other = seq["s" if side == "c" else "c"]
            segment = TCP(sport=sport, dport=dport, flags=flags, seq=seq[side], ack=other if "A" in flags else 0)
            packet = ip(src=src, dst=dst) / segment
            self.add(at, ether(packet / Raw(data) if data else packet))
            seq[side] += len(data) + ("S" in flags) + ("F" in flags)
            at += 0.01

        send("c", "S")
        send("s", "SA")
        send("c", "A")
        for side, data in talk:
            for start in range(0, len(data), 1400):
                send(side, "PA", data[start : start + 1400])
                send("s" if side == "c" else "c", "A")
        send("c", "FA")
        send("s", "FA")
        send("c", "A")
        return at


def ether(packet: Packet) -> Packet:
    """The packet in an Ethernet frame between the switch and the gateway."""
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet


def http(method: str, host: str, path: str, agent: str, body: bytes = b"") -> bytes:
    """An HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"User-Agent: {agent}", "Accept: */*"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def response(body: bytes, kind: str = "text/html", status: str = "200 OK") -> bytes:
    """An HTTP/1.1 response."""
    head = f"HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def build() -> Morning:
    """The morning: ordinary traffic of eight workstations, and the beacon of one of them."""
    morning = Morning()
    ordinary(morning)
    infection(morning)
    return morning


def ordinary(morning: Morning) -> None:
    """Web, mail and ping as in any office."""
    browser = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    for step in range(60):
        client = morning.random.choice(WORKSTATIONS)
        at = step * 20 + morning.random.random() * 5
        name = morning.random.choice(["www.news.example", "intranet.office.example", "static.shop.example"])
        at = morning.dns(at, client, name, [("A", WEB)])
        page = b"<html><body>" + b"good morning " * morning.random.randrange(20, 300) + b"</body></html>"
        talk = [("c", http("GET", name, f"/page/{step}", browser)), ("s", response(page))]
        morning.tcp(at, client, WEB, 80, talk)
    for step in range(4):
        greeting = [("s", b"220 mail.office.example ESMTP\r\n"), ("c", b"QUIT\r\n"), ("s", b"221 Bye\r\n")]
        morning.tcp(90 + step * 240, WORKSTATIONS[step], MAIL, 25, greeting)
        echo = IP(src=WORKSTATIONS[step], dst=WEB) / ICMP(type=8, id=step, seq=1) / Raw(b"abcdefgh" * 4)
        morning.add(100 + step * 60, ether(echo))


def infection(morning: Morning) -> None:
    """A program fetched from a name nobody asked for before, a beacon every minute, names made by an algorithm."""
    at = morning.dns(300, INFECTED, "files.evil-cdn.test", [("A", C2)])
    program = b"MZ" + bytes(morning.random.randrange(256) for _ in range(3000))
    fetch = [("c", http("GET", "files.evil-cdn.test", "/upd/setup.exe", "WinHTTP/1.0"))]
    morning.tcp(at, INFECTED, C2, 80, [*fetch, ("s", response(program, "application/x-msdownload"))])
    for step in range(12):
        at = morning.dns(360 + step * 60, INFECTED, C2_NAME, [("A", C2)])
        body = f"id=ws14&n={step}&q=".encode() + bytes(morning.random.choice(b"0123456789abcdef") for _ in range(64))
        beacon = [("c", http("POST", C2_NAME, f"/gate.php?s={step}", "Mozilla/4.0 (beacon)", body))]
        morning.tcp(at, INFECTED, C2, 80, [*beacon, ("s", response(b"ok", "text/plain"))])
    beacon = [("c", http("POST", C2_NAME, "/gate.php?v6", "Mozilla/4.0 (beacon)", b"id=ws14")), ("s", response(b"ok"))]
    morning.tcp(1100, INFECTED_V6, C2_V6, 80, beacon)
    for step in range(25):
        label = "".join(morning.random.choice("bcdfghjklmnpqrstvwxz") for _ in range(14))
        morning.dns(700 + step * 2, INFECTED, f"{label}.test", [])


def main() -> None:
    """Write the file."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("infected-host.pcap"))
    morning = build()
    with PcapWriter(str(out), linktype=1, sync=True) as writer:
        for at, packet in sorted(morning.packets, key=lambda item: item[0]):
            packet.time = START + at
            writer.write(packet)
    print(f"{out}: {len(morning.packets)} packets")


if __name__ == "__main__":
    main()
