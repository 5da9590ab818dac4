"""Names blocked or sinkholed at the resolvers that take our response policy zone (draft-vixie-dnsop-dns-rpz)."""

from tapwarden.mitigation.rpz.mitigator import Rpz, TsigKey

__all__ = ["Rpz", "TsigKey"]
