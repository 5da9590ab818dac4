"""Writing pcapng (draft-ietf-opsawg-pcapng): what Wireshark opens, with the alert as a comment at its packet."""

import struct
from collections.abc import Mapping, Sequence

from tapwarden.model.evidence import Frame

SECTION, INTERFACE, ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
OPT_END, OPT_COMMENT, SHB_USERAPPL, IF_TSRESOL = 0, 1, 4, 9
NANOSECONDS = 9
COMMENT_OCTETS_MAX = 8192


def write(frames: Sequence[Frame], *, about: str, comments: Mapping[int, str]) -> bytes:
    """A capture of these frames: ``about`` is the section's comment, ``comments`` are by a frame's place."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    blocks = [_block(SECTION, section + _options((OPT_COMMENT, _text(about)), (SHB_USERAPPL, b"tapwarden")))]
    interfaces: dict[int, int] = {}
    for place, frame in enumerate(frames):
        if frame.linktype not in interfaces:
            interfaces[frame.linktype] = len(interfaces)
            body = struct.pack("<HHI", frame.linktype & 0xFFFF, 0, 0)
            blocks.append(_block(INTERFACE, body + _options((IF_TSRESOL, bytes((NANOSECONDS,))))))
        high, low = divmod(frame.ns & 0xFFFFFFFFFFFFFFFF, 1 << 32)
        head = struct.pack("<IIIII", interfaces[frame.linktype], high, low, len(frame.data), frame.wire_octets)
        comment = comments.get(place)
        options = _options((OPT_COMMENT, _text(comment))) if comment else b""
        blocks.append(_block(ENHANCED_PACKET, head + _padded(frame.data) + options))
    return b"".join(blocks)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:COMMENT_OCTETS_MAX].decode("utf-8", "ignore").encode()


def _block(kind: int, body: bytes) -> bytes:
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def _options(*options: tuple[int, bytes]) -> bytes:
    listed = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return listed + struct.pack("<HH", OPT_END, 0)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def read(capture: bytes) -> list[Frame]:
    """The frames of a capture that ``write`` made. Raises ValueError for anything else."""
    frames: list[Frame] = []
    linktypes: list[int] = []
    at = 0
    try:
        while at < len(capture):
            kind, total = struct.unpack_from("<II", capture, at)
            body = capture[at + 8 : at + total - 4]
            if total < 12 or at + total > len(capture):
                raise ValueError(f"a block of {total} octets at {at}")
            if kind == INTERFACE:
                linktypes.append(struct.unpack_from("<H", body)[0])
            elif kind == ENHANCED_PACKET:
                interface, high, low, kept, wire = struct.unpack_from("<IIIII", body)
                ns = (high << 32) | low
                frames.append(Frame(ns, wire, linktypes[interface], body[20 : 20 + kept]))
            at += total
    except (struct.error, IndexError) as error:
        raise ValueError(f"no capture of ours: {error}") from error
    return frames
