"""The mitigators that act beyond this host, from their configuration."""

from collections.abc import Sequence

from tapwarden.agent.config import Config, Layout
from tapwarden.agent.config.response import Bgp as BgpConfig
from tapwarden.agent.secret import read_token
from tapwarden.mitigation.bgp import BlackHole, Neighbour
from tapwarden.mitigation.table import MITIGATORS
from tapwarden.model.ports import Mitigator


def responses_of(config: Config, layout: Layout) -> list[Mitigator]:
    """Those that are enabled. Raises ConfigError, MitigationError."""
    made = []
    if config.mitigation.bgp.enabled:
        made.append(bgp_of(config.mitigation.bgp, layout))
    return made


def bgp_of(bgp: BgpConfig, layout: Layout) -> Mitigator:
    """What announces blocks to routers. Raises ConfigError, MitigationError."""
    hole = bgp.black_hole
    return MITIGATORS["bgp"](
        folder=layout.state("bgp"),
        neighbours=neighbours_of(bgp, layout),
        black_hole=BlackHole(hole.next_hop_v4, hole.next_hop_v6, hole.communities) if hole.enabled else None,
        flow=bgp.flow.enabled,
        max_routes=bgp.max_routes,
        octets_per_second=bgp.flow.rate,
    )


def neighbours_of(bgp: BgpConfig, layout: Layout) -> Sequence[Neighbour]:
    """The routers that are told, their passwords read. Raises ConfigError."""
    key = "mitigation.bgp.neighbours.password_file"
    return [
        Neighbour(
            one.address,
            one.peer_as,
            one.local_address,
            one.local_as,
            one.router_id or one.local_address,
            one.port,
            read_token(layout.setting(one.password_file), key) if one.password_file else "",
        )
        for one in bgp.neighbours
    ]
