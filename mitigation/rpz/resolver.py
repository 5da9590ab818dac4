"""Whether the resolvers really answer as the zone says: asked like a client would."""

from collections.abc import Sequence
from ipaddress import ip_address

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from tapwarden.mitigation.rpz.policy import Response
from tapwarden.mitigation.rpz.server import Peer


def obeys(resolver: Peer, name: str, response: Response, sinkhole: Sequence[str], *, timeout_s: float = 1.0) -> bool:
    """Whether ``resolver`` gives ``response`` for ``name``. One that does not answer obeys only a drop.

    NXDOMAIN is what a name that does not exist gets anyway: that the policy said it cannot be seen from outside.
    """
    kind = dns.rdatatype.A
    if response is Response.SINKHOLE and all(ip_address(text).version == 6 for text in sinkhole):
        kind = dns.rdatatype.AAAA
    try:
        answer = dns.query.udp(
            dns.message.make_query(name, kind), resolver.address, timeout=timeout_s, port=resolver.port
        )
    except (dns.exception.DNSException, OSError):
        return response is Response.DROP
    addresses = {
        rdata.address
        for rrset in answer.answer
        for rdata in rrset
        if rdata.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
    }
    match response:
        case Response.NXDOMAIN:
            return answer.rcode() == dns.rcode.NXDOMAIN
        case Response.NODATA:
            return answer.rcode() == dns.rcode.NOERROR and not answer.answer
        case Response.SINKHOLE:
            return bool(addresses) and addresses <= set(sinkhole)
        case _:
            return False
