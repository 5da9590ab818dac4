"""Every key of the configuration. ``tapwarden.yaml`` beside this file documents them; a test keeps the two equal."""

import base64
import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from tapwarden.agent.config.quantity import Duration, Size
from tapwarden.agent.config.reporting import Escalation, Person, Privacy, Receiver, Smtp
from tapwarden.agent.config.response import Appeals, Bgp, Notify, Reset
from tapwarden.agent.config.section import Address, Name, Network, Peer, Section, Text, network
from tapwarden.model.decision import Measure, TargetType
from tapwarden.model.incident import ThreatClass


def _protected(value: str) -> str:
    if value[:1].isdigit() or ":" in value or "/" in value:
        return network(value)
    return value.lower().rstrip(".")


def _https(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"https", "http"} or not parts.hostname):
        raise ValueError(f"{value!r} is not a URL, for example https://coordinator.example/v1")
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("reports leave this host encrypted only: write https:// (http:// is accepted for loopback)")
    return value


def _node(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or parts.query:
        raise ValueError(f"{value!r} is not a node's URL, for example https://es1.example:9200")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{value!r} has no valid port") from None
    return value if port else f"{parts.scheme}://{parts.netloc}:9200{parts.path}"


class Sensor(Section):
    """What is watched and with which rules."""

    name: str = ""
    interface: str = ""
    capture: Literal["afpacket", "scapy", "eve"] = "afpacket"
    eve_file: Path = Path("/var/log/suricata/eve.json")
    workers: int = Field(default=1, ge=0, le=256)
    promiscuous: bool = True
    bpf: str = ""
    home_net: tuple[Network, ...] = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
    vars: dict[str, str] = Field(default_factory=dict)
    rules: tuple[Text, ...] = ()
    indicators: tuple[Text, ...] = ()
    engine: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _workers(self) -> "Sensor":
        if self.workers != 1 and self.capture != "afpacket":
            raise ValueError(f"capture: {self.capture} runs one engine: write workers: 1, or capture: afpacket")
        return self


class Elasticsearch(Section):
    """The cluster that events are kept in with ``backend: elasticsearch``."""

    urls: tuple[Annotated[str, AfterValidator(_node)], ...] = ()
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")] = "tapwarden"
    user: str = ""
    password_file: str = ""
    api_key_file: str = ""
    ca_file: str = ""
    compress: bool = True
    timeout: Duration = timedelta(seconds=30)
    shard_size: Size = 25_000_000_000
    max_size: Size = 0

    @model_validator(mode="after")
    def _one_way_in(self) -> "Elasticsearch":
        if bool(self.user) != bool(self.password_file):
            raise ValueError("give both user and password_file")
        if self.user and self.api_key_file:
            raise ValueError("give user and password_file, or api_key_file, not both")
        secret = self.user or self.api_key_file
        for url in self.urls:
            parts = urlsplit(url)
            if secret and parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
                raise ValueError(f"a password or API key would cross the network readable: write https:// in {url}")
        return self


class Store(Section):
    """Where events and cases are kept."""

    backend: Literal["embedded", "elasticsearch"] = "embedded"
    path: Text = "events"
    elasticsearch: Elasticsearch = Elasticsearch()
    cases: Text = "cases/cases.db"

    @model_validator(mode="after")
    def _reachable(self) -> "Store":
        if self.backend == "elasticsearch" and not self.elasticsearch.urls:
            raise ValueError(
                'backend: elasticsearch needs elasticsearch.urls, for example ["https://es1.example:9200"]'
            )
        return self


class Spool(Section):
    """The disk spool between the engines and the event store."""

    path: Text = "spool"
    max_size: Size = 2_000_000_000
    fsync: Literal["always", "interval", "never"] = "interval"
    fsync_interval: Duration = timedelta(seconds=1)

    @field_validator("max_size")
    @classmethod
    def _holds_something(cls, value: int) -> int:
        if value < 1_000_000:
            raise ValueError("a spool holds some batches: write 1 MB or more, better 1 GB")
        return value


class Evidence(Section):
    """The packets around alerts."""

    enabled: bool = True
    path: Text = "evidence"
    before: Size = 65_536
    after: Size = 65_536
    ring: Size = 33_554_432

    @field_validator("before", "after")
    @classmethod
    def _of_one_flow(cls, value: int) -> int:
        if value > 1 << 28:
            raise ValueError("that is kept for each alert: write at most 256 MiB")
        return value


class Retention(Section):
    """How long what is kept on this host is kept, and in how much room."""

    alerts: Duration = timedelta(days=365)
    dns: Duration = timedelta(days=180)
    network: Duration = timedelta(days=180)
    detail: Duration = timedelta(days=30)
    evidence: Duration = timedelta(days=180)
    logs: Duration = timedelta(days=30)
    max_size: Size = 100_000_000_000
    min_free: Size = 2_000_000_000


class EveOutput(Section):
    """The file ``eve.json``."""

    enabled: bool = True
    path: Text = "eve.json"
    max_size: Size = 1_000_000_000


class Output(Section):
    """What is written beside the stores."""

    eve: EveOutput = EveOutput()


class Match(Section):
    """Which alert groups a policy is about. Everything given has to hold; at least one thing has to be given."""

    sid: tuple[int, ...] = ()
    severity: int | None = Field(default=None, ge=1, le=4)
    signature: str = ""
    category: str = ""
    indicator_source: str = ""

    @field_validator("sid", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _not_everything(self) -> "Match":
        if not (self.sid or self.severity or self.signature or self.category or self.indicator_source):
            raise ValueError("an empty match would take every alert; give sid, severity, signature, category or source")
        return self


class OpenIncident(Section):
    """What the incident is that a policy opens."""

    threat_class: ThreatClass = Field(default=ThreatClass.EVENT, alias="class")
    severity: int = Field(default=2, ge=1, le=4)


class Decide(Section):
    """A decision a policy makes in advance: its standing authority. It needs a reason, a legal basis and an end."""

    measure: Measure
    targets: Literal["src", "dest", "attacker", "domain", "connection"]
    scope: Text
    reason: Text
    legal_basis: Text
    duration: Duration

    @field_validator("duration")
    @classmethod
    def _bounded(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(days=365):
            raise ValueError("a decision ends: write a duration from 1s to 365d")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Decide":
        if self.measure is Measure.SINKHOLE and self.targets != "domain":
            raise ValueError("sinkhole acts on names: write targets: domain")
        if (self.targets == "connection") and self.measure is not Measure.RESET:
            raise ValueError("only reset acts on one connection: write measure: reset")
        return self


class Policy(Section):
    """One standing policy: which alerts, from how many on, what is opened and decided."""

    name: Name
    match: Match
    min_count: int = Field(default=1, ge=1)
    incident: OpenIncident = OpenIncident()
    decide: Decide | None = None


class Triage(Section):
    """From alerts to incidents without a person."""

    policies: tuple[Policy, ...] = ()

    @field_validator("policies")
    @classmethod
    def _named_once(cls, value: tuple[Policy, ...]) -> tuple[Policy, ...]:
        names = [policy.name for policy in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two policies are named {', '.join(twice)}")
        return value


class RateLimit(Section):
    """What a rate-limited target may still send and be sent."""

    packets_per_second: int = Field(default=10, ge=1, le=1_000_000)
    burst: int = Field(default=20, ge=1, le=1_000_000)


class Nftables(Section):
    """Where blocks go in the kernel's packet filter."""

    table: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,30}$")] = "tapwarden"
    hooks: tuple[Literal["input", "forward", "output"], ...] = ("input", "forward", "output")
    rate_limit: RateLimit = RateLimit()


DomainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,60}[A-Za-z0-9])?\.?$")]


class Tsig(Section):
    """The secret shared with the resolvers; an empty name is none."""

    name: str = ""
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    secret_file: str = ""

    @model_validator(mode="after")
    def _both(self) -> "Tsig":
        if bool(self.name) != bool(self.secret_file):
            raise ValueError("give both name and secret_file")
        return self


class Rpz(Section):
    """Names blocked or sinkholed at resolvers, through a response policy zone that is served to them."""

    enabled: bool = False
    zone: DomainName = "rpz.tapwarden"
    listen: Address = "127.0.0.1"
    port: int = Field(default=5310, ge=0, le=65535)
    allow_transfer: tuple[Network, ...] = ("127.0.0.0/8", "::1/128")
    tsig: Tsig = Tsig()
    notify: tuple[Peer, ...] = ()
    verify: tuple[Peer, ...] = ()
    block: Literal["nxdomain", "nodata", "drop"] = "nxdomain"
    sinkhole: tuple[Address, ...] = ()
    ttl: int = Field(default=60, ge=1, le=86400)
    zone_file: str = ""


class Tls(Section):
    """Certificate and key of a server (PEM); both or none."""

    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _both(self) -> "Tls":
        if bool(self.certificate) != bool(self.key):
            raise ValueError("give both certificate and key")
        return self


class Puller(Section):
    """Somebody who may pull what is blocked."""

    name: Name
    key_file: Text


class Bouncer(Section):
    """Blocks for CrowdSec's bouncers and for firewalls that pull lists."""

    enabled: bool = False
    listen: Address = "127.0.0.1"
    port: int = Field(default=8689, ge=0, le=65535)
    pullers: tuple[Puller, ...] = ()
    tls: Tls = Tls()

    @model_validator(mode="after")
    def _encrypted_beyond_loopback(self) -> "Bouncer":
        if not ipaddress.ip_address(self.listen).is_loopback and not self.tls.certificate:
            raise ValueError(
                "API keys would cross the network readable: set tls.certificate and tls.key, or listen on 127.0.0.1"
            )
        return self


class Sinkhole(Section):
    """The listener on the sinkhole addresses, which says who came for what."""

    enabled: bool = False
    addresses: tuple[Address, ...] = ()
    port: int = Field(default=8699, ge=1, le=65535)
    keep_octets: int = Field(default=64, ge=0, le=1024)
    contact: str = ""

    @model_validator(mode="after")
    def _somewhere(self) -> "Sinkhole":
        if self.enabled and not self.addresses:
            raise ValueError("give the addresses that sinkholed names get, in sinkhole.addresses and in rpz.sinkhole")
        return self


class Approval(Section):
    """How many people have to stand behind what is done."""

    automatic_hosts: int = Field(default=20, ge=0)
    high_hosts: int = Field(default=100, ge=0)
    high_addresses: int = Field(default=64, ge=1)
    two_people: tuple[Measure, ...] = ()
    confirm_within: Duration = timedelta(0)
    automatic_confidence: int = Field(default=0, ge=0, le=100)
    classes: dict[ThreatClass, Literal[1, 2]] = Field(default_factory=dict)
    kinds: dict[TargetType, Literal[1, 2]] = Field(default_factory=dict)


class Mitigation(Section):
    """What may be done to traffic, and what never."""

    mode: Literal["dry-run", "enforce"] = "dry-run"
    never_block: tuple[Annotated[str, AfterValidator(_protected)], ...] = ()
    max_prefix_v4: int = Field(default=24, ge=8, le=32)
    max_prefix_v6: int = Field(default=48, ge=16, le=128)
    actions_per_hour: int = Field(default=500, ge=1)
    approval: Approval = Approval()
    nftables: Nftables = Nftables()
    rpz: Rpz = Rpz()
    bouncer: Bouncer = Bouncer()
    sinkhole: Sinkhole = Sinkhole()
    reset: Reset = Reset()
    bgp: Bgp = Bgp()
    notify: Notify = Notify()


class Contact(Section):
    """Whom the coordinating centre calls."""

    name: str = ""
    email: str = ""
    phone: str = ""


class Coordinator(Section):
    """Where reports go, how, and how we say who we are."""

    url: Annotated[str, AfterValidator(_https)] = ""
    channel: Literal["https", "taxii"] = "https"
    token_file: str = ""
    user: str = ""
    password_file: str = ""
    token_url: Annotated[str, AfterValidator(_https)] = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""

    @model_validator(mode="after")
    def _one_way_in(self) -> "Coordinator":
        if bool(self.user) != bool(self.password_file):
            raise ValueError("give both user and password_file")
        if self.token_url and not self.user:
            raise ValueError("token_url takes user and password_file: the client's id and its secret")
        if self.token_file and self.user:
            raise ValueError("give token_file, or user and password_file, not both")
        if bool(self.client_certificate) != bool(self.client_key):
            raise ValueError("give both client_certificate and client_key")
        return self


class Reporting(Section):
    """Whose clock runs and who answers for what is said."""

    profile: Name = "generic-24h"
    organisation: str = ""
    responsible: str = ""
    contact: Contact = Contact()
    coordinator: Coordinator = Coordinator()
    auto_send: bool = False
    also: tuple[Name, ...] = ()
    profiles_file: str = ""
    calendar_file: str = ""
    people: tuple[Person, ...] = ()
    escalate: Escalation = Escalation()
    smtp: Smtp = Smtp()
    privacy: Privacy = Privacy()
    receivers: tuple[Receiver, ...] = ()

    @model_validator(mode="after")
    def _known_people(self) -> "Reporting":
        known = {person.name for person in self.people}
        told = (*self.escalate.at_50, *self.escalate.at_75, *self.escalate.at_90, *self.escalate.overdue)
        if strangers := sorted(set(told) - known):
            raise ValueError(f"escalate names {', '.join(strangers)}, whom people does not")
        if any(person.email for person in self.people) and not self.smtp.host:
            raise ValueError("people are to be mailed: set smtp.host")
        names = [receiver.name for receiver in self.receivers]
        if len(set(names)) < len(names):
            raise ValueError("two receivers have one name")
        if any(receiver.channel == "email" for receiver in self.receivers) and not self.smtp.host:
            raise ValueError("a receiver is to be mailed: set smtp.host")
        return self


def _public_key(value: str) -> str:
    name, _, key = value.partition(":")
    try:
        if name != "ed25519" or len(base64.b64decode(key, validate=True)) != 32:
            raise ValueError(value)
    except ValueError:
        raise ValueError("write the key as the centre shows it: ed25519:<base64 of 32 octets>") from None
    return value


class Issuer(Section):
    """Whose orders are followed, and the key they are signed with."""

    name: Text
    public_key: Annotated[str, AfterValidator(_public_key)]


class Caller(Section):
    """Who may send commands and questions to us."""

    name: Text
    token_file: Text


class Reception(Section):
    """Where a coordinating centre reaches us: OpenC2 commands and queries over HTTPS."""

    enabled: bool = False
    listen: Address = "127.0.0.1"
    port: int = Field(default=8690, ge=0, le=65535)
    callers: tuple[Caller, ...] = ()
    tls: Tls = Tls()
    client_ca: str = ""

    @model_validator(mode="after")
    def _encrypted_beyond_loopback(self) -> "Reception":
        if not ipaddress.ip_address(self.listen).is_loopback and not self.tls.certificate:
            raise ValueError(
                "commands would cross the network readable: set tls.certificate and tls.key, or listen on 127.0.0.1"
            )
        if self.enabled and not self.callers:
            raise ValueError("nobody could call: give callers, each with name and token_file")
        return self


class Orders(Section):
    """Orders of coordinating centres: whom we follow, how far, and how they reach us."""

    enabled: bool = False
    name: str = ""
    issuers: tuple[Issuer, ...] = ()
    taxii: Annotated[str, AfterValidator(_https)] = ""
    poll: Duration = timedelta(seconds=10)
    people: int = Field(default=1, ge=0, le=5)
    measures: tuple[Literal["block", "reject", "sinkhole"], ...] = ("block", "reject", "sinkhole")
    longest: Duration = timedelta(days=30)
    reception: Reception = Reception()

    @model_validator(mode="after")
    def _followed(self) -> "Orders":
        if self.enabled and not self.issuers:
            raise ValueError("no order could be followed: give issuers, each with name and public_key")
        if not timedelta(seconds=1) <= self.poll <= timedelta(seconds=30):
            raise ValueError("a revocation has to be through within 60 s: poll every 1s to 30s")
        if not timedelta(minutes=1) <= self.longest <= timedelta(days=30):
            raise ValueError("an order lasts at most 30d")
        return self


class Queries(Section):
    """Questions of coordinating centres: what they are answered, and how often."""

    enabled: bool = False
    smallest: int = Field(default=5, ge=1, le=1000)
    per_hour: int = Field(default=60, ge=1, le=10_000)
    most_rows: int = Field(default=100, ge=1, le=1000)
    tlp: Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"] = "AMBER"


class Misp(Section):
    """A MISP that gives a feed, and hears what became of it."""

    source: Text
    url: Annotated[str, AfterValidator(_https)]
    key_file: Text
    ca_file: str = ""


class Sightings(Section):
    """Verdicts on alerts of indicators, told to whoever gave the indicator."""

    centre: bool = False
    misp: tuple[Misp, ...] = ()


class Dashboard(Section):
    """The web pages."""

    enabled: bool = True
    listen: Text = "127.0.0.1"
    port: int = Field(default=8686, ge=0, le=65535)
    hosts: tuple[Text, ...] = ()
    tls: Tls = Tls()

    @model_validator(mode="after")
    def _encrypted_beyond_loopback(self) -> "Dashboard":
        local = self.listen in {"localhost", "::1"} or self.listen.startswith("127.")
        if not local and not self.tls.certificate:
            raise ValueError(
                "passwords would cross the network readable: set tls.certificate and tls.key, or listen on 127.0.0.1"
            )
        return self


class Config(Section):
    """The whole configuration."""

    sensor: Sensor = Sensor()
    store: Store = Store()
    spool: Spool = Spool()
    evidence: Evidence = Evidence()
    retention: Retention = Retention()
    output: Output = Output()
    triage: Triage = Triage()
    mitigation: Mitigation = Mitigation()
    reporting: Reporting = Reporting()
    orders: Orders = Orders()
    queries: Queries = Queries()
    sightings: Sightings = Sightings()
    dashboard: Dashboard = Dashboard()
    appeals: Appeals = Appeals()
