"""Settings of the mitigators that act beyond this host."""

from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tapwarden.agent.config.quantity import Size
from tapwarden.agent.config.reporting import Mail, Secure
from tapwarden.agent.config.section import Address, Network, Section, Text, address

Community = Annotated[str, StringConstraints(pattern=r"^\d{1,5}:\d{1,5}(:\d{1,10})?$|^\d{1,10}:\d{1,10}:\d{1,10}$")]
AsNumber = Annotated[int, Field(ge=1, le=4_294_967_295)]


class Reset(Section):
    """Connections ended by resets to both ends."""

    enabled: bool = False
    interface: str = ""


class BgpNeighbour(Section):
    """A router that is told what to drop."""

    address: Address
    peer_as: AsNumber
    local_address: Address
    local_as: AsNumber
    router_id: str = ""
    port: int = Field(default=179, ge=1, le=65535)
    password_file: str = ""

    @model_validator(mode="after")
    def _one_family(self) -> "BgpNeighbour":
        if (":" in self.address) != (":" in self.local_address):
            raise ValueError("address and local_address are of one family")
        if ip_address(address(self.router_id or self.local_address)).version != 4:
            raise ValueError("router_id is an IPv4 address that names this speaker; give one, for example 192.0.2.1")
        return self


class BlackHole(Section):
    """Host routes that ask to drop what goes to an address (RFC 7999)."""

    enabled: bool = True
    next_hop_v4: str = "self"
    next_hop_v6: str = ""
    communities: tuple[Community, ...] = ()

    @model_validator(mode="after")
    def _addresses(self) -> "BlackHole":
        for name, hop, family in (("next_hop_v4", self.next_hop_v4, 4), ("next_hop_v6", self.next_hop_v6, 6)):
            if hop not in ("", "self") and ip_address(address(hop)).version != family:
                raise ValueError(f"{name} is self, an IPv{family} address, or empty (no routes of that family)")
        return self


class FlowSpec(Section):
    """Flow specifications (RFC 8955): traffic of a target dropped or limited at the routers."""

    enabled: bool = True
    rate: Size = 9600


class Bgp(Section):
    """Blocks announced to routers, through ExaBGP."""

    enabled: bool = False
    neighbours: tuple[BgpNeighbour, ...] = ()
    black_hole: BlackHole = BlackHole()
    flow: FlowSpec = FlowSpec()
    max_routes: int = Field(default=100, ge=1, le=100_000)

    @model_validator(mode="after")
    def _says_something(self) -> "Bgp":
        if self.enabled and not self.neighbours:
            raise ValueError("give the routers that are told, in bgp.neighbours")
        if self.enabled and not (self.black_hole.enabled or self.flow.enabled):
            raise ValueError("enable bgp.black_hole, bgp.flow, or both")
        return self


TlpLabel = Literal["RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR"]


def _page(value: str) -> str:
    parts = urlsplit(value)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if value and (parts.scheme not in ({"http", "https"} if local else {"https"}) or parts.query or parts.fragment):
        raise ValueError(f"{value!r} is not an https:// address, for example https://tapwarden.example.org")
    return value.rstrip("/")


class Recipient(Section):
    """Somebody who can put something right, and what they answer for (nothing given: everything)."""

    name: Text
    kind: Literal["provider", "owner", "authority"] = "provider"
    networks: tuple[Network, ...] = ()
    names: tuple[Annotated[str, StringConstraints(to_lower=True, min_length=1)], ...] = ()
    email: Mail | Literal[""] = ""
    webhook: Secure | Literal[""] = ""
    secret_file: str = ""
    language: Literal["en", "zh"] = "en"
    tlp: TlpLabel = "AMBER"

    @model_validator(mode="after")
    def _one_way(self) -> "Recipient":
        if bool(self.email) == bool(self.webhook):
            raise ValueError(f"{self.name}: give email or webhook, one of them")
        if self.secret_file and not self.webhook:
            raise ValueError(f"{self.name}: secret_file signs webhooks; mail has none")
        return self


class Notify(Section):
    """Notices to providers, owners and authorities; mail goes through ``reporting.smtp``."""

    enabled: bool = False
    recipients: tuple[Recipient, ...] = ()
    contact: str = ""
    site: Annotated[str, AfterValidator(_page)] = ""
    tlp: TlpLabel = "AMBER"
    pap: Literal["RED", "AMBER", "GREEN", "CLEAR"] = "GREEN"
    per_hour: int = Field(default=60, ge=1, le=100_000)

    @model_validator(mode="after")
    def _somebody(self) -> "Notify":
        names = [one.name for one in self.recipients]
        if self.enabled and not names:
            raise ValueError("give the people who are told, in notify.recipients")
        if len(names) != len(set(names)):
            raise ValueError("two recipients have the same name")
        return self


class Appeals(Section):
    """Complaints of those who are affected; terms in working days of ``reporting.calendar_file``."""

    public: bool = False
    intro: str = ""
    ack_days: int = Field(default=1, ge=0, le=30)
    decision_days: int = Field(default=30, ge=1, le=365)
    filing_days: int = Field(default=10, ge=1, le=365)
    per_day: int = Field(default=200, ge=1, le=100_000)
    per_address: int = Field(default=5, ge=1, le=1000)
