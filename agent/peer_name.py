"""HTTP/1.1 that tells the application who the client is by its certificate."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class NamedProtocol(H11Protocol):
    """Puts the common name of the client's certificate, once TLS has verified it, into the request's state.

    ``common_name`` is "" without a certificate, and for one with several names.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert") or {}
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
        self.app_state = {**self.app_state, "common_name": names[0] if len(names) == 1 else ""}
