"""One connection that is being ended: what to send upon what is seen, and what can be said of it. Pure, no clock.

A TCP end drops a connection on a reset whose sequence number is exactly what it expects next; any other in its window
it answers with an ACK that says what it expects (RFC 5961 section 3.2), and beyond the window it is silent. So what an
end itself acknowledges is the best number for a reset to it; what the other end sends is the next best. While nothing
is said, a question (``craft.question``) makes both ends say their numbers.

    unseen --question--> asked --segment--> shooting --quiet--> asked again --reset from an end--> ended
                                              |--an end answers, or goes on--> goes on
                                              |--one direction only, or no answer--> not verified

At most ``MOST`` packets go to either end, questions among them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tapwarden.mitigation.reset import craft
from tapwarden.mitigation.reset.segment import ACK, RST, Segment
from tapwarden.mitigation.target import Connection, Endpoint

MOST = 3
APART_S = 0.03
"""Between two resets to one end: the first has to arrive before a second makes sense."""
ASK_AFTER_S = 0.05
"""A connection that says nothing for so long is asked."""
GUESS_APART_S = 0.1
"""Between two resets whose number is guessed from the other end: its own word is waited for meanwhile."""
QUIET_S = 0.15
"""After so long without a word of it, a connection is asked whether it is over."""
ASK_APART_S = 0.6
"""Between two questions to one end: Linux answers what is out of window twice a second (tcp_invalid_ratelimit)."""
JUDGE_S = 2.5
"""After so long without a proof either way nothing more can be said."""
MOST_SAID = 50
"""Segments on their way when a reset arrives are no sign of life; so many are."""


@dataclass(slots=True)
class End:
    """What is known of one end. ``expects``: the sequence number it was last seen to expect."""

    endpoint: Endpoint
    seen: bool = False
    expects: int | None = None
    packets: int = 0
    resets: int = 0
    last_packet_at: float = -1.0
    last_reset_at: float = -1.0
    last_exact_at: float = -1.0
    last_asked_at: float = -1.0
    spoke_at: float = -1.0
    told: bool = False
    """The other end, which has let go, was seen to send it a reset with the number it expects."""
    closed: bool = False
    """It was seen to send a reset of its own: for it the connection is gone."""


@dataclass(slots=True)
class Ending:
    """``asks``: whether it is asked while it says nothing. Times in seconds of one clock."""

    connection: Connection
    began_at: float
    rng: random.Random
    asks: bool = True
    ends: dict[Endpoint, End] = field(init=False)
    heard_at: float = field(init=False)
    shot_at: float | None = None
    first_shot_at: float | None = None
    first_seen_at: float | None = None
    said_after: int = 0
    verdict: str = ""
    ended_at: float | None = None
    _resets: set[tuple[Endpoint, int]] = field(default_factory=set)
    _questions: set[tuple[Endpoint, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.heard_at = self.began_at
        self.ends = {end: End(end) for end in (self.connection.low, self.connection.high)}

    @property
    def over(self) -> bool:
        """Whether nothing more is sent or learnt."""
        return bool(self.verdict)

    @property
    def ended(self) -> bool:
        """Whether it was seen to be over."""
        return self.ended_at is not None

    def saw(self, segment: Segment, now: float) -> Sequence[bytes]:
        """A segment passed: what to send upon it."""
        source, other = self.ends[segment.source], self.ends[segment.destination]
        if self.connection.protocol == "udp":
            return self._saw_datagram(segment, source, now)
        number = (segment.source, segment.seq)
        if segment.flags & RST:
            if number not in self._resets or not segment.flags & ACK:
                source.seen = source.closed = True
                other.told |= segment.seq == other.expects
                self._judge(now)
            return ()
        if number in self._questions and segment.follows == segment.seq:
            return ()
        self.heard_at, source.seen, source.spoke_at = now, True, now
        if self.first_seen_at is None:
            self.first_seen_at = now
        if segment.flags & ACK:
            source.expects = segment.ack
        source.closed = source.told = False
        self._notice_life(source, now)
        if self.over:
            return ()
        sent: list[bytes] = []
        if source.expects is not None:
            sent += self._shoot(source, other, source.expects, segment.follows, now, exact=True)
        sent += self._shoot(other, source, segment.follows, segment.ack, now, exact=False)
        return sent

    def closed_here(self, now: float) -> None:
        """The kernel of this host dropped it, and sent the other end a reset itself."""
        self.verdict, self.ended_at = "ended: this host's kernel dropped it", now
        self.first_shot_at = now

    def words(self) -> str:
        """What can be said of it now."""
        if not self.verdict:
            return "is being ended" if self.first_shot_at is not None else "waits for a packet of it"
        if self.ended and self.first_shot_at is not None:
            after_ms = 1000 * max(0.0, self.heard_at - self.first_shot_at)
            return f"{self.verdict}; the last word of it {after_ms:.0f} ms after the first reset"
        return self.verdict

    def tick(self, now: float) -> Sequence[bytes]:
        """Time passed: what to send upon it."""
        if self.over:
            return ()
        if self.connection.protocol == "udp":
            if self.shot_at is not None and now - self.heard_at > JUDGE_S:
                self.verdict = "no datagram since; UDP shows no end: not verified"
            return ()
        silent_s = now - max(self.heard_at, self.shot_at or self.began_at)
        if self.shot_at is None and self.asks and silent_s > ASK_AFTER_S:
            return self._ask(now, most=1)
        if self.shot_at is not None and silent_s > QUIET_S:
            asked = self._ask(now, most=MOST)
            if asked:
                return asked
            if silent_s > JUDGE_S:
                self._give_up()
        elif self.shot_at is None and now - self.began_at > JUDGE_S and self.asks:
            self.verdict = "neither end says anything that passes here: not verified"
        return ()

    def _saw_datagram(self, segment: Segment, source: End, now: float) -> Sequence[bytes]:
        self.heard_at, source.seen = now, True
        self.first_seen_at = self.first_seen_at or now
        if source.packets >= MOST:
            self.said_after += 1
            if self.said_after > 20:
                self.verdict = "goes on: it takes no notice of ICMP"
            return ()
        if now - source.last_packet_at < APART_S:
            return ()
        source.packets, source.last_packet_at, self.shot_at = source.packets + 1, now, now
        self.first_shot_at = self.first_shot_at or now
        return (craft.unreachable(segment.destination, segment.source, segment.quoted),)

    def _shoot(self, to: End, claimed: End, seq: int, ack: int, now: float, *, exact: bool) -> Sequence[bytes]:
        """A reset to one end, in the name of the other. The last packet is kept for the question whether it worked.

        What an end says itself (``exact``) need not wait for what was guessed before.
        """
        soon = now - to.last_exact_at < APART_S if exact else now - to.last_reset_at < GUESS_APART_S
        if to.closed or to.packets >= MOST - 1 or soon:
            return ()
        if exact:
            to.last_exact_at = now
        to.packets, to.resets, self.shot_at = to.packets + 1, to.resets + 1, now
        to.last_packet_at = to.last_reset_at = now
        self.first_shot_at = self.first_shot_at or now
        self._resets.add((claimed.endpoint, seq))
        return (craft.reset(claimed.endpoint, to.endpoint, seq, ack),)

    def _ask(self, now: float, *, most: int) -> Sequence[bytes]:
        sent = []
        for end, other in self._pairs():
            if not end.closed and end.packets < most and now - end.last_asked_at > ASK_APART_S:
                end.packets, end.last_packet_at, end.last_asked_at = end.packets + 1, now, now
                seq, ack = self.rng.getrandbits(32), self.rng.getrandbits(32)
                self._questions.add((other.endpoint, seq))
                sent.append(craft.question(other.endpoint, end.endpoint, seq, ack))
        return sent

    def _notice_life(self, source: End, now: float) -> None:
        """It speaks although everything was tried."""
        if self.shot_at is None or now - self.shot_at < APART_S:
            return
        self.said_after += 1
        tried = all(end.packets >= MOST - 1 or end.closed for end in self.ends.values())
        if tried and self.said_after > MOST_SAID:
            self.verdict = f"goes on: {source.resets} resets to {source.endpoint} did not end it"

    def _judge(self, now: float) -> None:
        """An end sent a reset that is not ours: it has let go. Where both have, it is over."""
        if all(end.closed for end in self.ends.values()):
            self.verdict, self.ended_at = "ended: both ends have let go", now

    def _give_up(self) -> None:
        closed = [end for end in self.ends.values() if end.closed or end.told]
        unseen = [end for end in self.ends.values() if not end.seen]
        silent = [end for end in self.ends.values() if end not in closed]
        if not silent:
            self.verdict, self.ended_at = "ended: both ends have let go", self.heard_at
        elif speaking := [end for end in silent if end.packets >= MOST and end.spoke_at >= end.last_packet_at]:
            self.verdict = f"goes on: {speaking[0].endpoint} was sent {speaking[0].resets} resets and still answers"
        elif unseen:
            self.verdict = f"nothing of {unseen[0].endpoint} passes here: not verified"
        elif closed:
            self.verdict = f"{closed[0].endpoint} has let go, {silent[0].endpoint} does not answer: not verified"
        else:
            self.verdict = "neither end answers whether it has let go: not verified"

    def _pairs(self) -> Sequence[tuple[End, End]]:
        low, high = self.ends.values()
        return ((low, high), (high, low))
