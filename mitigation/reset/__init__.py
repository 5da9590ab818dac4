"""Connections ended from outside: TCP resets to both ends, ICMP unreachable for UDP; looked at afterwards."""

from tapwarden.mitigation.reset.mitigator import Reset

__all__ = ["Reset"]
