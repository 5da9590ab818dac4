"""The small internet itself, and the block in the middle of it, before anything of Tapwarden watches."""

import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tapwarden.mitigation.namespace import inside
from tapwarden.mitigation.nftables import Nftables
from tapwarden.model.decision import Action, ActionState, Measure, Target, TargetType

ETH_P_ALL = 3


def test_the_tap_sees_both_directions_with_checksums_as_on_a_wire(network: Any) -> None:
    def listen() -> socket.socket:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.bind(("tap", 0))
        tap.settimeout(0.3)
        return tap

    frames = []
    with inside(network.gateway, listen) as tap:
        assert network.beacon(4)
        assert network.beacon(6)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                frames.append(tap.recv(65535))
            except TimeoutError:
                break
    whole = b"".join(frames)
    assert b"POST /gate.php" in whole
    assert b"sleep 60" in whole
    assert max(map(len, frames)) <= 1514
    assert all(_checksum_holds(frame) for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 6)


def _checksum_holds(frame: bytes) -> bool:
    """TCP over IPv4, RFC 9293 section 3.1: the ones' complement sum over pseudo-header and segment is all ones."""
    header_len, total_len = (frame[14] & 15) * 4, int.from_bytes(frame[16:18])
    segment = frame[14 + header_len : 14 + total_len]
    pseudo = frame[26:34] + b"\0\x06" + len(segment).to_bytes(2)
    octets = pseudo + segment + b"\0" * (len(segment) % 2)
    total = sum(int.from_bytes(octets[at : at + 2]) for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def test_a_block_at_the_gateway_stops_the_beacon_and_nothing_else_until_it_is_withdrawn(network: Any) -> None:
    now = datetime.now(UTC)
    blocks = [
        Action(
            id=address,
            decision_id="d",
            incident_id="i",
            measure=Measure.BLOCK,
            target=Target(TargetType.ADDRESS, address),
            mitigator="nftables",
            state=ActionState.APPROVED,
            created_at=now,
            expires_at=now + timedelta(minutes=5),
            dry_run=False,
        )
        for address in ("198.18.2.20", "2001:db8:2::20")
    ]
    mitigator = Nftables(netns=network.gateway)
    for family, block in zip((4, 6), blocks, strict=True):
        assert network.beacon(family)
        mitigator.apply([block], now)
        assert not network.beacon(family)
        assert network.browse(family)
    assert all(entry.packets for entry in mitigator.list())
    mitigator.withdraw(blocks)
    assert network.beacon(4)
    assert network.beacon(6)
