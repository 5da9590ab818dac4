"""The host behind a sinkhole's address: says who came for what, and tells people why they are here."""

from tapwarden.mitigation.sinkhole.listener import Sinkhole

__all__ = ["Sinkhole"]
