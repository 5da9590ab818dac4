"""Blocks: the raw records of one append, compressed together, which takes a fraction of compressing each by itself.

Plain layout: count, then for each record the octets of its origin and of its text (u32, little-endian), then all
origins and texts, in order. zstd adds a checksum, so that a flipped bit is found when read.
"""

import struct
from collections.abc import Sequence

import zstandard

from tapwarden.model.event import Event

CODEC_ZSTD = 1
"""The only codec so far; the number is kept with each block."""

RECORDS_MAX = 128
"""Records of one block: what has to be decompressed to read one of them (about 0.1 ms)."""

LEVEL = 3
"""zstd's own default: level 1 is no faster on blocks this small, level 6 halves the speed for 5 % of the size."""

BLOCK_OCTETS_MAX = 256 * 1024 * 1024
"""No block is decompressed to more than this, whatever it says of itself."""


class BlockError(Exception):
    """A block that is damaged."""


def pack(events: Sequence[Event], compressor: zstandard.ZstdCompressor) -> bytes:
    """The compressed block of these events."""
    lengths: list[int] = []
    parts: list[bytes] = []
    for event in events:
        origin = event.origin.encode("utf-8", "surrogatepass")
        lengths += (len(origin), len(event.raw))
        parts += (origin, event.raw)
    head = struct.pack(f"<{len(lengths) + 1}I", len(events), *lengths)
    return compressor.compress(head + b"".join(parts))


def unpack(data: bytes, codec: int) -> list[Event]:
    """The events of a block. Raises BlockError."""
    if codec != CODEC_ZSTD:
        raise BlockError(f"unknown codec {codec}")
    try:
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=BLOCK_OCTETS_MAX)
        (count,) = struct.unpack_from("<I", plain)
        lengths = struct.unpack_from(f"<{2 * count}I", plain, 4)
    except (zstandard.ZstdError, struct.error, MemoryError) as error:
        raise BlockError(str(error)) from error
    position = 4 + 8 * count
    if position + sum(lengths) != len(plain):
        raise BlockError("lengths do not add up")
    events = []
    for number in range(count):
        middle = position + lengths[2 * number]
        end = middle + lengths[2 * number + 1]
        origin = plain[position:middle].decode("utf-8", "surrogatepass")
        events.append(Event(plain[middle:end], origin))
        position = end
    return events
