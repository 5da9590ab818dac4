"""Settings of the coordinating centre."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tapwarden.model.errors import ConfigError

TOKEN_MIN = 16
"""Characters of a token at least."""


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    """``agents`` and ``officers`` map a name to its secret; an agent sees its own matters, an officer all.

    The secret is taken as a bearer token, as the password of HTTP Basic, and as a client secret (OAuth 2.0) for a
    short-lived token. With ``client_ca`` a certificate of that authority whose common name is an agent's is enough.
    ``name`` is what orders say they are from; ``signing_key`` the file of the Ed25519 key they are signed with (made
    when it does not exist). ``database`` is a SQLite file or a ``postgresql://`` URL.

    ``faults`` lets officers switch on faults for tests and drills. Raises ConfigError for settings that would be
    unsafe: short or shared tokens, readable traffic beyond loopback.
    """

    database: Path | str
    agents: Mapping[str, str]
    officers: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8766
    certificate: str = ""
    key: str = ""
    faults: bool = False
    name: str = "coordinator"
    signing_key: Path | None = None
    client_ca: str = ""

    def __post_init__(self) -> None:
        tokens = [*self.agents.values(), *self.officers.values()]
        if any(len(token) < TOKEN_MIN for token in tokens):
            raise ConfigError(f"a token has at least {TOKEN_MIN} characters", key="agents")
        if len(set(tokens)) != len(tokens):
            raise ConfigError("each agent and officer needs a token of its own", key="agents")
        if both := self.agents.keys() & self.officers.keys():
            raise ConfigError(
                f"{min(both)} is an agent and an officer: nobody determines what they reported", key="agents"
            )
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("give both certificate and key", key="certificate")
        if self.client_ca and not self.certificate:
            raise ConfigError(
                "certificates of agents are asked for over TLS only: set certificate and key", key="client_ca"
            )
        local = self.host in {"localhost", "::1"} or self.host.startswith("127.")
        if not local and not self.certificate:
            raise ConfigError(
                "tokens and reports would cross the network readable: set certificate and key", key="host"
            )
