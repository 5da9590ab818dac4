"""Real resolvers that take the policy zone, and an authoritative server for them to ask, in one network namespace."""

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from tapwarden.mitigation.namespace import inside

SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTIzNDU2Nzg="
KEY = f'key "tapwarden" {{ algorithm hmac-sha256; secret "{SECRET}"; }};'
AUTHORITY_PORT, RESOLVER_PORT = 5301, 5302

ZONE = """$TTL 60
@ IN SOA ns.c2.example. nobody.c2.example. 1 60 60 60 60
@ IN NS ns.c2.example.
@ IN A 198.18.0.66
* IN A 198.18.0.67
"""

AUTHORITY = f"""
options {{ directory "."; listen-on port {AUTHORITY_PORT} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
  pid-file "authority.pid"; session-keyfile "authority.key"; dnssec-validation no; allow-transfer {{ none; }}; }};
controls {{ }};
zone "c2.example" {{ type primary; file "c2.example.zone"; }};
zone "good.example" {{ type primary; file "c2.example.zone"; }};
"""

BIND = """
{key}
options {{ directory "."; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes;
  pid-file "named.pid"; session-keyfile "named.key"; dnssec-validation no; empty-zones-enable no;
  allow-query {{ 127.0.0.1; }};
  response-policy {{ zone "rpz.tapwarden"; }} qname-wait-recurse no break-dnssec yes min-update-interval 0; }};
controls {{ }};
zone "c2.example" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {authority}; }}; }};
zone "good.example" {{ type forward; forward only; forwarders {{ 127.0.0.1 port {authority}; }}; }};
{rpz}
"""
BIND_TRANSFER = """zone "rpz.tapwarden" {{ type secondary; file "rpz.db"; masterfile-format text; min-refresh-time 1;
  primaries {{ 127.0.0.1 port {primary} key tapwarden; }};
  allow-notify {{ 127.0.0.1; }}; allow-query {{ 127.0.0.1; }}; }};"""
BIND_FILE = 'zone "rpz.tapwarden" {{ type primary; file "{file}"; allow-query {{ 127.0.0.1; }}; }};'

UNBOUND = """
server:
  interface: 127.0.0.1@{port}
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  logfile: "{folder}/unbound.log"
  use-syslog: no
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  module-config: "respip iterator"
  qname-minimisation: no
remote-control:
  control-enable: yes
  control-interface: {folder}/control
  control-use-cert: no
forward-zone:
  name: "c2.example"
  forward-addr: 127.0.0.1@{authority}
forward-zone:
  name: "good.example"
  forward-addr: 127.0.0.1@{authority}
rpz:
  name: "rpz.tapwarden"
{source}
"""

POWERDNS = """
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
daemon=no
dnssec=off
setuid=
security-poll-suffix=
hint-file=no
lua-config-file={folder}/rpz.lua
forward-zones=c2.example=127.0.0.1:{authority},good.example=127.0.0.1:{authority}
packetcache-ttl=0
max-cache-ttl=1
"""
POWERDNS_TRANSFER = """rpzPrimary("127.0.0.1:{primary}", "rpz.tapwarden",
  {{tsigname="tapwarden", tsigalgo="hmac-sha256", tsigsecret="{secret}", refresh=1}})
"""
POWERDNS_FILE = 'rpzFile("{file}", {{policyName="rpz.tapwarden"}})\n'

KNOT = """
net.listen("127.0.0.1", {port})
trust_anchors.remove(".")
modules = {{ "policy" }}
cache.size = 1 * MB
policy.add(policy.rpz(policy.DENY, "{file}", true))
policy.add(policy.suffix(policy.STUB("127.0.0.1@{authority}"), policy.todnames({{"c2.example", "good.example"}})))
"""

DNSMASQ = """
port={port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
cache-size=0
servers-file={file}
server=127.0.0.1#{authority}
"""


@dataclass
class Resolver:
    """A running resolver: asked over the network, as a client does."""

    netns: str
    reload: Callable[[], object] = lambda: None

    def ask(self, name: str, kind: str = "A") -> str:
        """The answer in one word: the rcode, "nodata", "silence" or the first address."""
        query = dns.message.make_query(name, kind)
        try:
            answer = inside(self.netns, lambda: dns.query.udp(query, "127.0.0.1", timeout=1, port=RESOLVER_PORT))
        except dns.exception.Timeout:
            return "silence"
        if answer.rcode() != 0:
            return dns.rcode.to_text(answer.rcode()).lower()
        return str(answer.answer[-1][0]) if answer.answer else "nodata"

    def comes_to(self, name: str, expected: str, within_s: float = 15) -> bool:
        """Whether the answer becomes ``expected`` in time."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.ask(name) == expected:
                return True
            time.sleep(0.1)
        return False


class Resolvers:
    """Starts servers in a namespace and ends them."""

    def __init__(self, netns: str, folder: Path) -> None:
        self._netns, self._folder = netns, folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def authority(self) -> None:
        """An authoritative server for c2.example and good.example: every name has an address."""
        folder = self._made("authority")
        (folder / "c2.example.zone").write_text(ZONE)
        (folder / "named.conf").write_text(AUTHORITY)
        self._run([_found("named"), "-g", "-c", "named.conf"], folder)
        self._await(AUTHORITY_PORT, "c2.example")

    def bind(self, *, primary: int = 0, file: Path | None = None) -> Resolver:
        """BIND that transfers the policy zone from ``primary``, signed, or reads ``file``."""
        folder = self._made("bind")
        rpz = BIND_FILE.format(file=file) if file else BIND_TRANSFER.format(primary=primary)
        text = BIND.format(key=KEY, port=RESOLVER_PORT, authority=AUTHORITY_PORT, rpz=rpz)
        (folder / "named.conf").write_text(text)
        process = self._run([_found("named"), "-g", "-c", "named.conf"], folder)
        self._await(RESOLVER_PORT, "good.example")
        return Resolver(self._netns, lambda: process.send_signal(1))  # SIGHUP reads the zone files again

    def unbound(self, *, primary: int = 0, file: Path | None = None) -> Resolver:
        """Unbound that transfers the policy zone from ``primary`` (it cannot sign) or reads ``file``."""
        folder = self._made("unbound")
        source = f'  zonefile: "{file}"' if file else f"  primary: 127.0.0.1@{primary}\n  allow-notify: 127.0.0.1"
        text = UNBOUND.format(folder=folder, port=RESOLVER_PORT, authority=AUTHORITY_PORT, source=source)
        (folder / "unbound.conf").write_text(text)
        process = self._run([_found("unbound"), "-d", "-c", "unbound.conf"], folder)
        self._await(RESOLVER_PORT, "good.example")
        return Resolver(self._netns, lambda: process.send_signal(1))

    def powerdns(self, *, primary: int = 0, file: Path | None = None) -> Resolver:
        """PowerDNS Recursor that transfers the policy zone from ``primary``, signed, or reads ``file``."""
        folder = self._made("powerdns")
        source = POWERDNS_FILE.format(file=file) if file else POWERDNS_TRANSFER.format(primary=primary, secret=SECRET)
        (folder / "rpz.lua").write_text(source)
        text = POWERDNS.format(folder=folder, port=RESOLVER_PORT, authority=AUTHORITY_PORT)
        (folder / "recursor.conf").write_text(text)
        self._run([_found("pdns_recursor"), f"--config-dir={folder}"], folder)
        self._await(RESOLVER_PORT, "good.example")
        control = [_found("rec_control"), f"--config-dir={folder}", f"--socket-dir={folder}", "reload-lua-config"]
        return Resolver(self._netns, lambda: subprocess.run(control, check=True, capture_output=True))

    def knot(self, *, file: Path) -> Resolver:
        """Knot Resolver that watches the zone ``file``; it transfers none."""
        folder = self._made("knot")
        text = KNOT.format(port=RESOLVER_PORT, authority=AUTHORITY_PORT, file=file)
        (folder / "kresd.conf").write_text(text)
        self._run([_found("kresd"), "-n", "-q", "-c", "kresd.conf", str(folder)], folder)
        self._await(RESOLVER_PORT, "good.example")
        return Resolver(self._netns)

    def dnsmasq(self, *, file: Path) -> Resolver:
        """dnsmasq with ``file`` as its servers-file, read again on SIGHUP; it knows no policy zones."""
        folder = self._made("dnsmasq")
        (folder / "dnsmasq.conf").write_text(DNSMASQ.format(port=RESOLVER_PORT, authority=AUTHORITY_PORT, file=file))
        process = self._run([_found("dnsmasq"), "-k", "-u", "root", "-C", "dnsmasq.conf"], folder)
        self._await(RESOLVER_PORT, "good.example")
        return Resolver(self._netns, lambda: process.send_signal(1))

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder

    def _run(self, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._netns, *command], cwd=folder, stdout=output, stderr=output
            )
        self._processes.append(process)
        return process

    def _await(self, port: int, name: str) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                query = dns.message.make_query(name, "SOA")
                inside(self._netns, partial(dns.query.udp, query, "127.0.0.1", timeout=0.5, port=port))
                return
            except (dns.exception.Timeout, OSError):
                time.sleep(0.1)
        output = "\n".join(path.read_text(errors="replace")[-2000:] for path in self._folder.glob("*/output"))
        raise AssertionError(f"nothing answers on port {port}:\n{output}")


def _found(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        raise FileNotFoundError(program)
    return path
