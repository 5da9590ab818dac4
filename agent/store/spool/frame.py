"""Frames: what a segment file is made of. A frame is a batch's events of one class, compressed, with checksums.

Layout, little-endian: magic, number of the batch (u64), events (u32), octets of the kinds (u32), octets of the payload
(u32), CRC-32 of the payload, CRC-32 of the header so far and the kinds; then the kinds (JSON: how many events of each
type, so that what is shed can be counted without reading it), then the payload (see ``tapwarden.agent.store.block``).
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import zstandard

from tapwarden.agent.store import block
from tapwarden.model.event import Event

MAGIC = b"TwSf"
_HEADER = struct.Struct("<4sQIIII")
_CRC = struct.Struct("<I")
HEADER_OCTETS = _HEADER.size + _CRC.size

KINDS_MAX = 32
"""Event types counted by name in one frame; further ones are counted together."""

KINDS_OCTETS_MAX = 4096
PAYLOAD_OCTETS_MAX = 256 << 20

LEVEL = 1
"""zstd's fastest ordinary level: a spool is written and read once, it only has to be smaller than its text."""

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame in a segment: where it begins and ends, its batch, how many events of which type."""

    begin: int
    end: int
    seq: int
    kinds: "Counter[str]"


class FrameError(Exception):
    """Octets that are no whole frame."""


def encode(seq: int, events: Sequence[Event], kinds: "Counter[str]") -> bytes:
    """The frame of these events of batch ``seq``."""
    payload = block.pack(events, zstandard.ZstdCompressor(level=LEVEL))
    named = Counter[str]()
    for kind, count in kinds.items():
        named[kind[:32] if len(named) < KINDS_MAX else OTHER] += count
    listed = orjson.dumps(named)
    head = _HEADER.pack(MAGIC, seq, len(events), len(listed), len(payload), zlib.crc32(payload))
    return b"".join((head, _CRC.pack(zlib.crc32(listed, zlib.crc32(head))), listed, payload))


def header_at(data: "memoryview | bytes", begin: int) -> Frame:
    """The frame whose header is here; its payload need not be in ``data``. Raises FrameError."""
    after = begin + HEADER_OCTETS
    if after > len(data):
        raise FrameError("cut off")
    head = bytes(data[begin : begin + _HEADER.size])
    magic, seq, _, listed_octets, payload_octets, _ = _HEADER.unpack(head)
    if magic != MAGIC or listed_octets > KINDS_OCTETS_MAX or payload_octets > PAYLOAD_OCTETS_MAX:
        raise FrameError("no frame")
    listed = bytes(data[after : after + listed_octets])
    if _CRC.unpack(data[begin + _HEADER.size : after])[0] != zlib.crc32(listed, zlib.crc32(head)):
        raise FrameError("header damaged")
    return Frame(begin, after + listed_octets + payload_octets, seq, Counter(orjson.loads(listed)))


def frame_at(data: "memoryview | bytes", begin: int, *, payload: bool) -> Frame:
    """The frame that begins here, its payload's checksum looked at as well if asked. Raises FrameError."""
    found = header_at(data, begin)
    if found.end > len(data):
        raise FrameError("cut off")
    if payload:
        *_, payload_octets, crc = _HEADER.unpack(bytes(data[begin : begin + _HEADER.size]))
        if zlib.crc32(data[found.end - payload_octets : found.end]) != crc:
            raise FrameError("payload damaged")
    return found


def frames(data: bytes, *, payload: bool) -> Iterator[Frame]:
    """All frames in order; damaged octets between them are left out."""
    begin, view = 0, memoryview(data)
    while begin + HEADER_OCTETS <= len(data):
        try:
            found = frame_at(view, begin, payload=payload)
        except FrameError:
            begin = data.find(MAGIC, begin + 1)
            if begin < 0:
                return
            continue
        yield found
        begin = found.end


def events_of(data: "memoryview | bytes", frame: Frame) -> list[Event]:
    """The events of a frame. Raises FrameError."""
    listed_octets = _HEADER.unpack(bytes(data[frame.begin : frame.begin + _HEADER.size]))[3]
    payload = bytes(data[frame.begin + HEADER_OCTETS + listed_octets : frame.end])
    try:
        records = block.Records(payload, block.CODEC_ZSTD)
        return [records.event(slot) for slot in range(len(records))]
    except block.BlockError as error:
        raise FrameError(str(error)) from error
