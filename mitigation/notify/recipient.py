"""Who is told about what: by configuration only, nobody is looked up on the network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tapwarden.mitigation.notify.label import Tlp
from tapwarden.mitigation.target import Network, parse_domain, parse_endpoint, parse_network, url_host
from tapwarden.model.decision import Target, TargetType


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who can put something right. ``kind``: provider, owner or authority.

    ``networks`` and ``names`` (domains with all below) are what they answer for; without any they answer for
    everything. ``email`` or ``webhook``: where they read. ``most``: the closest TLP label they are trusted with.
    """

    name: str
    kind: str
    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()
    email: str = ""
    webhook: str = ""
    language: str = "en"
    most: Tlp = Tlp.AMBER

    def nearness(self, target: Target) -> int:
        """How specifically they answer for the target: 0 for everything, -1 for not at all."""
        if not self.networks and not self.names:
            return 0
        place = place_of(target)
        if isinstance(place, str):
            fits = [name for name in self.names if place == name or place.endswith(f".{name}")]
            return max((1 + name.count(".") for name in fits), default=-1)
        lengths = [
            1 + network.prefixlen
            for network in self.networks
            if network.version == place.version and place.subnet_of(network)  # type: ignore[arg-type]
        ]
        return max(lengths, default=-1)


def place_of(target: Target) -> Network | str:
    """What of a target somebody answers for: its network, or its name."""
    if target.type in (TargetType.ADDRESS, TargetType.NETWORK):
        return parse_network(target.value)
    if target.type is TargetType.ENDPOINT:
        return parse_network(str(parse_endpoint(target.value).address))
    if target.type is TargetType.CONNECTION:
        raise ValueError("notices are about hosts and names, not about one connection")
    return url_host(target.value) if target.type is TargetType.URL else parse_domain(target.value)


def responsible(target: Target, recipients: Iterable[Recipient]) -> Sequence[Recipient]:
    """Of each kind those that answer for the target most specifically, in the order given."""
    near = [(one, one.nearness(target)) for one in recipients]
    best: dict[str, int] = {}
    for one, nearness in near:
        best[one.kind] = max(best.get(one.kind, -1), nearness)
    return [one for one, nearness in near if nearness >= 0 and nearness == best[one.kind]]
