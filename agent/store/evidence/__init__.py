"""Evidence: the packets of alerts as pcapng, kept by content hash, and bundles that prove themselves offline.

Packets come from the engines (``FlowPackets``), go into a day's folder, and from there into a bundle or under a hold.
"""

from tapwarden.agent.store.evidence.bundle import Bundle, BundleError, Verified, verify
from tapwarden.agent.store.evidence.folder import EvidenceFolder, Hold
from tapwarden.agent.store.evidence.signing import SigningKey

__all__ = ["Bundle", "BundleError", "EvidenceFolder", "Hold", "SigningKey", "Verified", "verify"]
