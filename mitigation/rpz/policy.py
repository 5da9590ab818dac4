"""What a resolver is told to answer, as records of a response policy zone. Pure.

The encoding is that of draft-vixie-dnsop-dns-rpz-00, section 3: the owner is the name in question below the zone's own
name, the record says the answer. BIND, Unbound, Knot Resolver and PowerDNS read the same zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from tapwarden.model.decision import Measure

Record = tuple[str, str]
"""(type, value) in presentation form: ``("CNAME", ".")``."""


class Response(StrEnum):
    """What the client gets (section 3 of the draft)."""

    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    DROP = "drop"
    PASSTHRU = "passthru"
    SINKHOLE = "sinkhole"


_CNAME = {
    Response.NXDOMAIN: ".",
    Response.NODATA: "*.",
    Response.DROP: "rpz-drop.",
    Response.PASSTHRU: "rpz-passthru.",
}


@dataclass(frozen=True, slots=True)
class ResponsePolicy:
    """How measures become answers: ``block`` is NXDOMAIN, NODATA or DROP, ``sinkhole`` the addresses to answer with.

    ``ttl`` is in seconds. ValueError for a block that is no block.
    """

    block: Response = Response.NXDOMAIN
    sinkhole: Sequence[str] = ()
    ttl: int = 60

    def __post_init__(self) -> None:
        if self.block not in (Response.NXDOMAIN, Response.NODATA, Response.DROP):
            raise ValueError(f"{self.block} does not block")
        for address in self.sinkhole:
            ip_address(address)

    @property
    def measures(self) -> frozenset[Measure]:
        """What can be done: sinkholing needs an address to send the clients to."""
        return frozenset({Measure.BLOCK, *([Measure.SINKHOLE] if self.sinkhole else [])})

    def response(self, measure: Measure) -> Response:
        """The answer that carries out a measure."""
        return Response.SINKHOLE if measure is Measure.SINKHOLE else self.block

    def records(self, response: Response) -> tuple[Record, ...]:
        """The records at a name that make resolvers answer so."""
        if response is Response.SINKHOLE:
            return tuple(("A" if ip_address(text).version == 4 else "AAAA", text) for text in self.sinkhole)
        return (("CNAME", _CNAME[response]),)

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same entries would be published as other records."""
        return f"{self.block} {' '.join(self.sinkhole)} {self.ttl}"


def strongest(measures: Sequence[Measure]) -> Measure:
    """Which of several measures on one name is published: the sinkhole, because it also tells who asked."""
    return Measure.SINKHOLE if Measure.SINKHOLE in measures else Measure.BLOCK
