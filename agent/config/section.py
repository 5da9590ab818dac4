"""What every part of the configuration is made of: a section, and the values that several sections have."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


def network(value: str) -> str:
    """A network in canonical text. ValueError."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is not an address or network, for example 192.0.2.0/24 or 2001:db8::/32") from None


def peer(value: str) -> str:
    """An address, with a port behind an ``@`` if any. ValueError."""
    host, at, port = value.partition("@")
    try:
        ipaddress.ip_address(host)
        if at and not 0 < int(port) < 65536:
            raise ValueError(port)
    except ValueError:
        raise ValueError(f"{value!r} is not an address, or address@port, for example 192.0.2.53 or ::1@5300") from None
    return value


def address(value: str) -> str:
    """An address in canonical text. ValueError."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an address, for example 192.0.2.1 or 2001:db8::1") from None


Network = Annotated[str, AfterValidator(network)]
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Peer = Annotated[str, AfterValidator(peer)]
Address = Annotated[str, AfterValidator(address)]


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, values are never changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
