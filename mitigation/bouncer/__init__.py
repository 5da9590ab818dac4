"""Blocks handed to others: CrowdSec's bouncers and firewalls that pull lists."""

from tapwarden.mitigation.bouncer.mitigator import Bouncer

__all__ = ["Bouncer"]
