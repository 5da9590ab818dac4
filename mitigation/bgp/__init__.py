"""Blocks at the routers of a network or its provider: black holes and flow specifications, announced by ExaBGP."""

from tapwarden.mitigation.bgp.mitigator import Bgp
from tapwarden.mitigation.bgp.route import BlackHole
from tapwarden.mitigation.bgp.speaker import Neighbour

__all__ = ["Bgp", "BlackHole", "Neighbour"]
