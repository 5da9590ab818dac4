"""Blocks: the raw records of one append, compressed together, which takes a fraction of compressing each by itself.

Plain layout: count, then for each record the octets of its origin and of its text (u32, little-endian), then all
origins and texts, in order. zstd adds a checksum, so that a flipped bit is found when read.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate

import zstandard

from tapwarden.model.event import Event

CODEC_ZSTD = 1
"""The only codec so far; the number is kept with each block."""

RECORDS_MAX = 256
"""Records of one block: what has to be decompressed to read one of them (about 0.2 ms)."""

LEVEL = 1
"""Of 57,000 real records in blocks of 256: 68.7 octets each with level 1, 70.9 with 3, 67.2 with 5 at four times the
time. A trained dictionary would take 62."""

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


class Records:
    """The records of a block, made into events one by one as they are asked for. Raises BlockError."""

    def __init__(self, data: bytes, codec: int) -> None:
        if codec != CODEC_ZSTD:
            raise BlockError(f"unknown codec {codec}")
        try:
            self._plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=BLOCK_OCTETS_MAX)
            (count,) = struct.unpack_from("<I", self._plain)
            lengths = struct.unpack_from(f"<{2 * count}I", self._plain, 4)
        except (zstandard.ZstdError, struct.error, MemoryError) as error:
            raise BlockError(str(error)) from error
        # where each origin and each text begins, and where the last ends
        self._places = list(accumulate(lengths, initial=4 + 8 * count))
        if self._places[-1] != len(self._plain):
            raise BlockError("lengths do not add up")

    def __len__(self) -> int:
        return len(self._places) // 2

    def event(self, slot: int) -> Event:
        """The event in this place. Raises BlockError when there is none."""
        if not 0 <= slot < len(self):
            raise BlockError(f"no record {slot} of {len(self)}")
        begin, middle, end = self._places[2 * slot : 2 * slot + 3]
        return Event(self._plain[middle:end], self._plain[begin:middle].decode("utf-8", "surrogatepass"))

    def slots_with(self, octets: bytes) -> frozenset[int]:
        """Places of the records that have these octets in their text once its ASCII letters are lower case."""
        lowered = self._plain.lower()
        if octets not in lowered:
            return frozenset()
        places = self._places
        return frozenset(
            slot for slot in range(len(self)) if lowered.find(octets, places[2 * slot + 1], places[2 * slot + 2]) >= 0
        )
