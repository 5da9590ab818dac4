"""Zone transfers, as sequences of DNS messages: AXFR (RFC 5936) and IXFR (RFC 1995), signed where asked (RFC 8945)."""

from collections.abc import Iterable, Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tapwarden.mitigation.rpz.entries import Entries, Published

MESSAGE_OCTETS = 16_000
"""About where a message of a transfer is cut: compression pointers reach 16 KiB (RFC 1035, section 4.1.4)."""
RECORD_OCTETS = 64
"""What a record takes at least, to know when to cut."""


class Zone:
    """The zone ``origin`` made of entries, as records. ``ttl`` in seconds; resolvers ask every ``refresh`` seconds."""

    def __init__(self, entries: Entries, origin: str, *, ttl: int, refresh: int = 60) -> None:
        self.entries, self.ttl, self.refresh = entries, ttl, refresh
        self.origin = dns.name.from_text(origin)
        self._values: dict[tuple[str, str], dns.rdata.Rdata] = {}

    def soa(self, serial: int) -> dns.rrset.RRset:
        """The start of authority. The zone is not to be looked at by people's names, so mail goes to nobody."""
        text = f"localhost. nobody.invalid. {serial} {self.refresh} 30 604800 {self.ttl}"
        return dns.rrset.from_text(self.origin, self.ttl, dns.rdataclass.IN, dns.rdatatype.SOA, text)

    def name_servers(self) -> dns.rrset.RRset:
        """A zone needs one; nobody is ever referred to it."""
        return dns.rrset.from_text(self.origin, self.ttl, dns.rdataclass.IN, dns.rdatatype.NS, "localhost.")

    def full(self) -> Iterator[dns.rrset.RRset]:
        """All records, in AXFR's order: SOA, the zone, SOA."""
        with self.entries.zone() as (serial, records):
            yield self.soa(serial)
            yield self.name_servers()
            for owner, kind, value, _decisions in records:
                yield self._record(owner, kind, value)
            yield self.soa(serial)

    def since(self, serial: int) -> Iterator[dns.rrset.RRset]:
        """What changed since ``serial``, in IXFR's order; the whole zone where that is not known any more."""
        steps = self.entries.steps(serial)
        if steps is None:
            yield from self.full()
            return
        newest = steps[-1].serial if steps else self.entries.serial
        yield self.soa(newest)
        for step in steps:
            yield self.soa(step.serial - 1)
            yield from self._records(step.removed)
            yield self.soa(step.serial)
            yield from self._records(step.added)
        if steps:
            yield self.soa(newest)

    def _records(self, published: Iterable[Published]) -> Iterator[dns.rrset.RRset]:
        return (self._record(*record) for record in published)

    def _record(self, owner: str, kind: str, value: str) -> dns.rrset.RRset:
        # Names are checked A-labels already, and there are few different values: no parsing per record.
        name = dns.name.Name([label.encode("ascii") for label in owner.split(".")] + list(self.origin.labels))
        if (rdata := self._values.get((kind, value))) is None:
            rdata = self._values[kind, value] = dns.rdata.from_text(dns.rdataclass.IN, kind, value)
        return dns.rrset.from_rdata(name, self.ttl, rdata)


def messages(query: dns.message.Message, records: Iterable[dns.rrset.RRset]) -> Iterator[bytes]:
    """The wire form of the answer to a transfer query, one message after the other, signed if the query was."""
    signing = None
    for index, batch in enumerate(_batches(records)):
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if index:
            response.question = []
        response.answer = batch
        yield response.to_wire(multi=query.had_tsig, tsig_ctx=signing, max_size=65535)
        signing = response.tsig_ctx


def _batches(records: Iterable[dns.rrset.RRset]) -> Iterator[list[dns.rrset.RRset]]:
    batch: list[dns.rrset.RRset] = []
    octets = 0
    for record in records:
        size = RECORD_OCTETS + sum(len(label) + 1 for label in record.name.labels)
        if batch and octets + size > MESSAGE_OCTETS:
            yield batch
            batch, octets = [], 0
        batch.append(record)
        octets += size
    if batch:
        yield batch
