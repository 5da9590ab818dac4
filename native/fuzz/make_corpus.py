"""Makes the kept corpus of the fuzz targets: small inputs of our own making, a few for each.

    python native/fuzz/make_corpus.py

Needs scapy. Files are named after what they hold; inputs that were findings stand beside them as ``found-*`` and are left
alone. Formats are those of ``native/fuzz/src``.
"""

import gzip
import ssl
import struct
import tempfile
from pathlib import Path

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import GRE, CookedLinux, Dot1Q, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP, PPPoE
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.layers.vxlan import VXLAN
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.packet import Packet, Raw
from scapy.utils import PcapNgWriter, PcapWriter

CORPUS = Path(__file__).parent / "corpus"
CLIENT, SERVER = 0, 1
LINK_TYPES = (1, 101, 0, 9, 12, 14, 50, 104, 108, 113, 228, 229, 276, 147)


RECORDS = (
    b'{"timestamp":"2026-11-24T11:00:00.5Z","event_type":"dns","dns":{"queries":[{"rrname":"a.b"},7]},"flow_id":1}',
    b'{"timestamp":"2026-02-29T11:00:00Z","event_type":"tls","tls":{"ja3":{"hash":"AB"},"sni":"x.y"},"dest_port":443}',
    b'{"timestamp":"2026-11-24T11:00:00.123456+0200","event_type":"flow","src_ip":"::1","dest_ip":"10.0.0.1"}',
    b'{"event_type":["x"],"alert":[{"signature":"s"}],"http":[{"hostname":"h:1","url":"http://h/p"}]}',
    b'[1]',
    b'{"a":' * 500,
)
VALUES = b"\x02\x05\x05" + b"4\xc0\x00\x02\x014\xc0\x00\x02\x02"
PIECES = {  # the column's place in the table, then what it has behind its checksum
    "numbers": b"\x00\x02\x05\x07" + bytes(8),
    "sources": b"\x02" + VALUES + b"\x02\x01\x01\x02",
    "ports": b"\x04\x01\x08" + bytes(8) + b"\x02\x01\x00\x01",
    "rules": b"\x06\x01\x0a\x03" + bytes(8) + b"x\x02\x01\x00\x01",
    "domains": b"\x09\x01\x04b.a.\x02\x00\x01\x01\x01\x01",
    "prints": b"\x0b\x01\x01" + bytes(8),
    "records": b"\x0c\x02\x00\x00\x00\x09\x00\x00\x00",
    "bloom": b"\x0d" + bytes(20),
    "tally": b"\x01\x01\x03tls\x02\x01\x01ab\x01\x00\x05",
}


def write(target: str, name: str, octets: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(octets)


def dialogue(*said: tuple[int, bytes]) -> bytes:
    """Pieces: who, length, octets."""
    return b"".join(bytes([who]) + struct.pack(">H", len(octets)) + octets for who, octets in said)


def frames(linktype: int, *packets: Packet | bytes) -> bytes:
    """Link type by its place in the table, then each frame after its length."""
    octets = bytes([LINK_TYPES.index(linktype)])
    for packet in packets:
        whole = bytes(packet)
        octets += struct.pack(">H", len(whole)) + whole
    return octets


GET = b"GET /a%2fb/../c?x=1 HTTP/1.1\r\nHost: www.example\r\nCookie: a=b\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
PACKED = gzip.compress(b"hello hello hello", mtime=0)
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED
FORM = (
    b'POST /up HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=bb\r\nContent-Length: 97\r\n\r\n'
    b'--bb\r\nContent-Disposition: form-data; name="f"; filename="a.exe"\r\n\r\nMZ\x90\x00\r\n--bb--\r\n'
)
SSH = (CLIENT, b"SSH-2.0-OpenSSH_9.6\r\n"), (SERVER, b"SSH-2.0-dropbear\r\n")
MAIL = (
    b"From: <a@example>\r\nTo: <b@example>\r\nSubject: =?utf-8?q?x?=\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="bb"\r\n\r\n--bb\r\nContent-Type: text/plain\r\n\r\n'
    b"see http://example.test/a and https://192.0.2.1/\r\n--bb\r\n"
    b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
    b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\nJVBERi0xLjQKJeLjz9MK\r\n--bb\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc\r\n--bb--\r\n"
)
QUERY = DNS(id=7, rd=1, qd=DNSQR(qname="www.example", qtype="AAAA"))
ANSWER = DNS(
    id=7,
    qr=1,
    qd=DNSQR(qname="www.example"),
    an=[DNSRR(rrname="www.example", rdata="192.0.2.1"), DNSRR(rrname="www.example", type="TXT", rdata=b"t" * 20)],
)


DISCOVER = BOOTP(xid=7, chaddr=bytes(6)) / DHCP(options=[("message-type", 1), ("hostname", b"h"), "end"])
OFFER = BOOTP(op=2, xid=7, yiaddr="192.0.2.9") / DHCP(
    options=[("message-type", 2), ("server_id", "192.0.2.1"), ("lease_time", 60), "end"]
)
NTP_QUERY = b"\x23" + bytes(range(47))


def client_hello() -> bytes:
    """What Python's own TLS says first; its random octets are made the same each time."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = context.wrap_bio(incoming, outgoing, server_hostname="www.example")
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = bytearray(outgoing.read())
    hello[11:43] = bytes(range(32))
    hello[44:76] = bytes(range(32))
    share = hello.find(b"\x00\x1d\x00\x20") + 4
    hello[share : share + 32] = bytes(range(32))
    return bytes(hello)


SERVER_HELLO = bytes.fromhex("160303002a020000260303") + bytes(range(32)) + bytes.fromhex("00c02f00") + b""


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


H2 = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + http2_frame(4, 0, 0, bytes.fromhex("000300000064"))
    + http2_frame(1, 4, 1, bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))
    + http2_frame(0, 1, 1, b"body")
)
H2_ANSWER = http2_frame(4, 1, 0, b"") + http2_frame(1, 4, 1, b"\x88") + http2_frame(0, 1, 1, b"hello")


def smb2(command: int, body: bytes, *, answer: bool = False) -> bytes:
    header = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ", 64, 0, 0, command, 1, int(answer), 0, command, 0, 1, 9) + bytes(16)
    return struct.pack(">I", len(header) + len(body)) + header + body


SMB_NAME = "a.txt".encode("utf-16-le")
SMB = (
    (CLIENT, smb2(0, struct.pack("<HHHHI", 36, 2, 1, 0, 0) + bytes(24) + struct.pack("<HH", 0x202, 0x311))),
    (SERVER, smb2(0, struct.pack("<HHHH", 65, 1, 0x311, 0) + bytes(57), answer=True)),
    (CLIENT, smb2(3, struct.pack("<HHHH", 9, 0, 72, 22) + r"\\srv\share".encode("utf-16-le"))),
    (SERVER, smb2(3, struct.pack("<HBBIII", 16, 1, 0, 0, 0, 0), answer=True)),
    (CLIENT, smb2(5, bytes([57]) + bytes(43) + struct.pack("<HHII", 120, len(SMB_NAME), 0, 0) + bytes(4) + SMB_NAME)),
    (CLIENT, smb2(9, struct.pack("<HHIQ", 49, 112, 4, 0) + bytes(32) + b"data")),
)
SMB1 = struct.pack(">I", 47) + b"\xffSMB\x72" + bytes(27) + b"\x00\x0c\x00\x02NT LM 0.12\x00"

BIND = bytes.fromhex("05000b0310000000480000000100000000100010000000000100000000000100") + bytes(range(16)) + bytes.fromhex(
    "03000000045d888aeb1cc9119fe808002b10486002000000"
)
REQUEST = bytes.fromhex("05000003100000002000000001000000080000000000" "0200") + b"stubdata"


def applications() -> dict[str, list[tuple[int, bytes]]]:
    """What is said, by target."""
    return {
        "app_http": [(CLIENT, GET), (SERVER, OK), (CLIENT, FORM), (SERVER, GZIP)],
        "app_http2": [(CLIENT, H2), (SERVER, H2_ANSWER)],
        "app_dns": [(CLIENT, bytes(QUERY)), (SERVER, bytes(ANSWER))],
        "app_tls": [(CLIENT, client_hello()), (SERVER, SERVER_HELLO), (SERVER, b"\x15\x03\x03\x00\x02\x02\x28")],
        "app_ssh": [*SSH, (CLIENT, b"\0\0\0\x2c\x04\x14" + bytes(16) + b"\0\0\0\x05a,b,c" + bytes(30))],
        "app_smtp": [
            (SERVER, b"220 mx ESMTP\r\n"),
            (CLIENT, b"EHLO c\r\n"),
            (SERVER, b"250-mx\r\n250 PIPELINING\r\n"),
            (CLIENT, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
            (SERVER, b"250 ok\r\n250 ok\r\n354 go\r\n"),
            (CLIENT, MAIL + b".\r\nQUIT\r\n"),
            (SERVER, b"250 queued\r\n221 bye\r\n"),
        ],
        "app_ftp": [
            (SERVER, b"220 hello\r\n"),
            (CLIENT, b"USER a\r\nPASS b\r\nPASV\r\n"),
            (SERVER, b"331 a\r\n230 b\r\n227 Entering Passive Mode (192,0,2,1,19,137)\r\n"),
            (CLIENT, b"RETR file.txt\r\nEPRT |2|2001:db8::1|5282|\r\nSTOR up.bin\r\n"),
            (SERVER, b"150 go\r\n226 done\r\n"),
        ],
        "app_smb": [*SMB, (CLIENT, SMB1)],
        "app_dcerpc": [(CLIENT, BIND), (SERVER, BIND[:2] + b"\x0c" + BIND[3:]), (CLIENT, REQUEST)],
        "app_dhcp": [(CLIENT, bytes(DISCOVER)), (SERVER, bytes(OFFER))],
        "app_ntp": [(CLIENT, NTP_QUERY), (SERVER, b"\x24" + NTP_QUERY[1:])],
        "app_quic": [
            (CLIENT, bytes.fromhex("c00000000108") + bytes(range(8)) + bytes.fromhex("000044d0") + bytes(1200)),
            (CLIENT, b"\x0d12345678Q043\x01" + bytes(12) + b"\xa0\x01\x04\x00CHLO\x01\x00\x00\x00SNI\x00\x03\x00\x00\x00a.b"),
        ],
    }


IP4, IP6 = IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
DATAGRAM = UDP(sport=4000, dport=53) / QUERY


def session(said: list[tuple[int, bytes]], port: int) -> list[Packet]:
    """A TCP session with a handshake and an end."""
    sequence, ends = [1000, 5000], [("192.0.2.1", 40000), ("192.0.2.2", port)]

    def segment(me: int, flags: str, octets: bytes = b"") -> Packet:
        other = 1 - me
        tcp = TCP(sport=ends[me][1], dport=ends[other][1], flags=flags, seq=sequence[me], ack=sequence[other])
        sequence[me] += len(octets) + bool(set(flags) & {"S", "F"})
        return ETHER / IP(src=ends[me][0], dst=ends[other][0]) / tcp / octets

    packets = [segment(0, "S"), segment(1, "SA"), segment(0, "A")]
    for who, octets in said:
        packets += [segment(who, "PA", octets), segment(1 - who, "A")]
    return [*packets, segment(0, "FA"), segment(1, "FA"), segment(0, "A")]


def stacks() -> dict[str, bytes]:
    """One of each link type and tunnel."""
    inner = ETHER / IP4 / DATAGRAM
    vxlan, geneve = UDP(sport=5, dport=4789) / VXLAN(vni=7), UDP(sport=5, dport=6081) / GENEVE(vni=7)
    teredo = UDP(sport=5, dport=3544)
    ppp_ip = b"\x00\x21" + bytes(IP4 / DATAGRAM)
    return {
        "ethernet": frames(1, inner, ETHER / IP6 / DATAGRAM, ETHER / IP4 / ICMP() / b"ping", bytes(ETHER) + bytes(3)),
        "vlan": frames(1, ETHER / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP4 / DATAGRAM),
        "mpls": frames(1, Ether(type=0x8847) / MPLS(label=16, s=1) / IP4 / DATAGRAM),
        "pppoe": frames(1, Ether(type=0x8864) / PPPoE(sessionid=1) / PPP(proto=0x21) / IP4 / DATAGRAM),
        "gre": frames(1, ETHER / IP4 / GRE() / IP4 / DATAGRAM, ETHER / IP4 / GRE(proto=0x6558) / inner),
        "erspan": frames(1, ETHER / IP4 / GRE(proto=0x88BE, seqnum_present=1) / (b"\x10\x05\0\x01\0\0\0\0" + bytes(inner))),
        "vxlan": frames(1, ETHER / IP4 / vxlan / inner),
        "geneve": frames(1, ETHER / IP4 / geneve / inner),
        "teredo": frames(1, ETHER / IP4 / teredo / IP6 / DATAGRAM),
        "in-ip": frames(1, ETHER / IP4 / IP4 / DATAGRAM, ETHER / IP4 / IP6 / DATAGRAM, ETHER / IP6 / IP4 / DATAGRAM),
        "sctp": frames(1, ETHER / IP4 / SCTP() / SCTPChunkInit()),
        "extensions": frames(1, ETHER / IP6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(m=1) / b"12345678"),
        "options": frames(1, ETHER / IP(options=b"\x07\x07\x04\0\0\0\0\0") / TCP(flags="S", options=[("MSS", 9), ("SAckOK", b"")])),
        "raw": frames(101, IP4 / DATAGRAM, IP6 / ICMPv6EchoRequest()),
        "ipv4-only": frames(228, IP4 / DATAGRAM),
        "ipv6-only": frames(229, IP6 / DATAGRAM),
        "raw-openbsd": frames(14, IP4 / DATAGRAM) + frames(12, IP4 / DATAGRAM)[1:],
        "null": frames(0, Loopback(type=2) / IP4 / DATAGRAM),
        "loop": frames(108, b"\0\0\0\x02" + bytes(IP4 / DATAGRAM)),
        "ppp": frames(9, b"\xff\x03" + ppp_ip, ppp_ip),
        "ppp-hdlc": frames(50, b"\xff\x03" + ppp_ip),
        "hdlc": frames(104, HDLC() / b"\x08\x00" / IP4 / DATAGRAM),
        "cooked": frames(113, CookedLinux(proto=0x800) / IP4 / DATAGRAM),
        "cooked2": frames(276, b"\x08\x00\0\0\0\0\0\x02\0\x01\x04\x06\x02\0\0\0\0\x01\0\0" + bytes(IP4 / DATAGRAM)),
        "unknown": frames(147, b"octets"),
        "dhcp": frames(1, ETHER / IP4 / UDP(sport=68, dport=67) / BOOTP() / DHCP(options=[("message-type", 1), "end"])),
        "ntp": frames(1, ETHER / IP4 / UDP(sport=123, dport=123) / NTP_QUERY),
        "pieces": frames(1, *fragment(ETHER / IP4 / UDP(sport=1, dport=53) / Raw(b"x" * 64), fragsize=24)),
    }


def sessions() -> dict[str, bytes]:
    """Whole TCP sessions of each protocol."""
    said = applications()
    ports = {"app_http": 80, "app_tls": 443, "app_smtp": 25, "app_ssh": 22, "app_ftp": 21, "app_smb": 445}
    return {name.removeprefix("app_"): frames(1, *session(said[name], port)) for name, port in ports.items()}


def segments() -> bytes:
    """Segments of the target's own format: handshake, data, an overlap that differs, a gap, an end."""
    made = b"\x05"
    for head, flags, sequence, acknowledgement, octets in (
        (0x00, 0x02, 100, 0, b""),
        (0x80, 0x12, 200, 101, b""),
        (0x00, 0x10, 101, 201, b""),
        (0x00, 0x18, 101, 201, b"GET / HTTP/1.1\r\n"),
        (0x00, 0x18, 110, 201, b"differs"),
        (0x00, 0x18, 150, 201, b"later"),
        (0x80, 0x10, 201, 155, b""),
        (0x00, 0x11, 155, 201, b""),
        (0x80, 0x14, 201, 156, b""),
    ):
        made += bytes([head | len(octets), flags]) + struct.pack(">HH", sequence, acknowledgement) + octets
    return made


def fragments(kind: int) -> bytes:
    """Three fragments, the second over the first, out of order."""
    pieces = ((3, 0x08, b"cccccccc"), (0, 0x90, b"aaaaaaaaaaaaaaaa"), (1, 0x90, b"bbbbbbbbbbbbbbbb"))
    return bytes([kind]) + b"".join(bytes([offset, head]) + octets for offset, head, octets in pieces)


def capture_files() -> dict[str, bytes]:
    packets = [ETHER / IP4 / DATAGRAM, ETHER / IP6 / DATAGRAM]
    made: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "capture")
        for name, writer in (
            ("little", lambda: PcapWriter(path, endianness="<")),
            ("big", lambda: PcapWriter(path, endianness=">")),
            ("nano", lambda: PcapWriter(path, nano=True)),
            ("ng", lambda: PcapNgWriter(path)),
        ):
            with writer() as capture:
                for number, packet in enumerate(packets):
                    packet.time = 1_700_000_000 + number
                    capture.write(packet)
            made[name] = Path(path).read_bytes()
    made["packed"] = gzip.compress(made["ng"], mtime=0)
    return made


RULE_DATA = {
    "thresholds": b"suppress gen_id 1, sig_id 7, track by_src, ip [192.0.2.0/24,!192.0.2.1]\n"
    b"threshold gen_id 1, sig_id 7, type limit, track by_src, count 1, seconds 60\n"
    b"rate_filter gen_id 1, sig_id 7, track by_rule, count 2, seconds 60, new_action drop, timeout 8\n",
    "classification": b"config classification: x,Something,2\n",
    "references": b"config reference: url http://\n",
    "reputation": b"192.0.2.1,1,100\n1,CnC,Command and control\n2001:db8::/32,1,7\n",
    "dataset": b"d3d3LmV4YW1wbGU=\n0cc175b9c0f1b6a831c399e269772661\n192.0.2.1\n2001:db8::1\n",
    "datarep": b"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb,100\n",
}


def main() -> None:
    """Write everything."""
    said = applications()
    for target, exchange in said.items():
        write(target, "dialogue", dialogue(*exchange))
        write(target, "lost", dialogue(exchange[0], (exchange[-1][0] | 2, exchange[-1][1]), (exchange[0][0] | 4, b"")))
    write("app_ftp_data", "transfer", b"\x01file.txt\n" + dialogue((SERVER, b"%PDF-1.4"), (SERVER | 4, b"")))
    for target, port in (("app_http", 80), ("app_tls", 443), ("app_ssh", 22), ("app_smtp", 25), ("app_smb", 445)):
        write("app_layer", f"tcp-{target}", b"\0" + struct.pack(">H", port) + dialogue(*said[target]))
        write("app_layer", f"midstream-{target}", b"\1" + struct.pack(">H", 9) + dialogue(*reversed(said[target])))
    write("app_layer", "udp-dns", b"\2\0\x35" + dialogue(*said["app_dns"]))
    write("mime", "mail", MAIL)
    write("mime", "nested", MAIL.replace(b"text/plain", b'multipart/alternative; boundary="cc"'))
    for name, exchange in said.items():
        write("probes", name, exchange[0][1][:200])
    for name, octets in stacks().items():
        write("frames", name, octets)
    for name, octets in sessions().items():
        write("rules_on_frames", name, octets)
    write("rules_on_frames", "datagrams", stacks()["ethernet"])
    write("segments", "session", segments())
    for kind in (0, 1, 4, 13):
        write("fragments", f"overlap-{kind}", fragments(kind))
    for name, octets in capture_files().items():
        write("capture_file", name, octets)
    for name, octets in PIECES.items():
        write("store_pieces", name, octets)
    write("store_records", "lines", b"\n".join(RECORDS))
    for number, line in enumerate((Path(__file__).parent / "src" / "rules.rules").read_bytes().splitlines()):
        write("rule_text", f"rule-{number:02}", line)
    for name, octets in RULE_DATA.items():
        write("rule_data", name, octets)


if __name__ == "__main__":
    main()
