"""What would keep the mitigators that act beyond this host from acting; part of ``tapwarden doctor``."""

import importlib.metadata
import socket
from collections.abc import Callable, Iterator

from tapwarden.agent.config import Config, Layout
from tapwarden.agent.finding import Finding
from tapwarden.agent.responses import neighbours_of
from tapwarden.mitigation.bgp.speaker import configuration
from tapwarden.model.errors import ConfigError


def examine_bgp(config: Config, layout: Layout) -> Iterator[Finding]:
    """Whether ExaBGP is there, and the routers can be reached."""
    bgp = config.mitigation.bgp
    if not bgp.enabled:
        return
    try:
        version = importlib.metadata.version("exabgp")
    except importlib.metadata.PackageNotFoundError:
        advice = "pip install 'tapwarden[bgp]' into the environment that runs Tapwarden"
        yield Finding("bgp", "fail", "ExaBGP is not installed: nothing can be announced", advice)
        return
    if not version.startswith("5."):
        yield Finding("bgp", "fail", f"ExaBGP {version} answers otherwise than 5.x", "pip install 'exabgp>=5,<6'")
        return
    yield Finding("bgp", "ok", f"ExaBGP {version}")
    try:
        neighbours = neighbours_of(bgp, layout)
        configuration(neighbours, layout.state("bgp"), flow=True)
    except (ConfigError, ValueError) as error:
        yield Finding("bgp", "fail", str(error), "correct mitigation.bgp.neighbours")
        return
    for one in neighbours:
        try:
            with socket.create_connection((one.address, one.port), timeout=3, source_address=(one.local_address, 0)):
                yield Finding("bgp", "ok", f"{one.address} port {one.port} answers")
        except OSError as error:
            advice = "check local_address, route and firewall, and that the router expects this session"
            yield Finding("bgp", "fail", f"{one.address} port {one.port}: {error.strerror or error}", advice)


RESPONSE_CHECKS: tuple[Callable[[Config, Layout], Iterator[Finding]], ...] = (examine_bgp,)
