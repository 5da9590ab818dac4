//! What was said: bounded TCP reassembly. [`Session`] is what app and rule see of it.
//!
//! `track` follows the TCP state machine (by `opening`, `handshake`, `established`, `closing`, with the checks of `checks`) and says
//! what to do with a segment; `reassemble` puts its octets into the sender's `buffer` and shows what was acknowledged
//! to the application layer. Everything is bounded: by the window, the depth and a memory limit over all sessions.

mod buffer;
mod checks;
mod closing;
mod established;
mod handshake;
mod opening;
pub mod policy;
pub mod raw;
mod reassemble;
mod sack;
pub mod seq;
mod track;

pub use reassemble::{Fed, Upper};
pub use track::{Limits, Step};

use buffer::Buffer;
use policy::Policy;
use sack::Sack;

use crate::flow;
use crate::packet::Direction;

/// Where a session is in TCP's state machine (RFC 9293 section 3.3.2), as seen from between the two ends.
///
/// The order is Suricata's; states are compared with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing of it was seen.
    #[default]
    None,
    /// The client's SYN was seen.
    SynSent,
    /// The server's SYN and ACK were seen.
    SynRecv,
    /// The handshake is complete.
    Established,
    /// The server closed.
    FinWait1,
    /// The server closed, and that was acknowledged.
    FinWait2,
    /// Both closed.
    TimeWait,
    /// The client closed, then the server.
    LastAck,
    /// The client closed.
    CloseWait,
    /// Both closed at once.
    Closing,
    /// It is over.
    Closed,
}

impl State {
    /// What it means for the flow.
    pub fn of_flow(self) -> flow::State {
        match self {
            State::None | State::SynSent | State::SynRecv => flow::State::New,
            State::LastAck | State::TimeWait | State::Closed => flow::State::Closed,
            _ => flow::State::Established,
        }
    }

    /// EVE's text.
    pub fn as_str(self) -> Option<&'static str> {
        Some(match self {
            State::None => return None,
            State::SynSent => "syn_sent",
            State::SynRecv => "syn_recv",
            State::Established => "established",
            State::FinWait1 => "fin_wait1",
            State::FinWait2 => "fin_wait2",
            State::TimeWait => "time_wait",
            State::LastAck => "last_ack",
            State::CloseWait => "close_wait",
            State::Closing => "closing",
            State::Closed => "closed",
        })
    }
}

/// A TCP session's two half-streams, as the layers above see them.
///
/// Offsets are octets since the initial sequence number + 1 of that direction, 64 bit, never wrapping.
#[derive(Debug, Default)]
pub struct Session {
    /// By direction.
    pub halves: [HalfStream; 2],
    /// Where it is.
    pub state: State,
    /// Where it was before.
    previous: State,
    /// The three-way handshake was seen, or the session was picked up midstream.
    pub established: bool,
    /// Picked up without its handshake.
    pub midstream: bool,
    /// Octets of each direction that are reassembled, where its protocol has its own limit; 0 is all.
    depth: Option<u64>,
    /// TCP flags seen, by direction.
    pub flags: [u8; 2],
    /// Picked up at its SYN and ACK.
    pub midstream_synack: bool,
    /// Picked up after its handshake, and nothing came from the other side yet.
    midstream_established: bool,
    /// Only one side is seen.
    one_sided: bool,
    /// Both sides use timestamps.
    timestamps: bool,
    /// The client offered window scaling.
    scaling_offered: bool,
    /// A reset closed it.
    pub closed_by_reset: bool,
    /// Four-way handshake: both sent a SYN.
    four_way: bool,
    /// An acknowledgement that looks like an evasion was seen.
    evasion: bool,
    sack_offered: bool,
    sack_agreed: bool,
    /// Octets were lost, so resets are not checked.
    lossy: bool,
    /// The server acknowledged the end of the handshake.
    confirmed: bool,
    /// TCP fast open.
    fast_open: bool,
    fast_open_ignored: bool,
    /// The application layer takes nothing any more.
    pub app_over: bool,
    /// SYN or SYN+ACK that may yet count, bounded.
    queue: Vec<opening::Queued>,
}

/// One direction: what its sender sent, and what of it the other side acknowledged.
#[derive(Debug, Default)]
pub struct HalfStream {
    buffer: Buffer,
    sack: Sack,
    /// Initial sequence number.
    pub isn: u32,
    /// Sequence number of `buffer`'s offset 0; wraps together with the sender's.
    origin: u32,
    /// The next sequence number expected.
    pub next_seq: u32,
    /// What the other side acknowledged.
    pub last_ack: u32,
    /// The greatest sequence number the other side has room for.
    next_win: u32,
    /// The window the other side announced, scaled.
    pub window: u32,
    window_scale: u8,
    last_timestamp: u32,
    last_packet_s: u32,
    policy: Option<Policy>,
    keepalive: bool,
    /// It offered timestamps.
    timestamp_offered: bool,
    /// Its timestamp was 0.
    timestamp_zero: bool,
    reset_received: bool,
    zero_window_probe: bool,
    /// Offset up to which the application layer took it.
    app_progress: u64,
    /// Offset up to which raw inspection was done.
    raw_progress: u64,
    /// What raw inspection may go back to from where the application layer is, octets.
    raw_back: u64,
    /// Raw inspection shall happen now, chunk full or not (set by app-layer parsers).
    raw_trigger: bool,
    /// No raw inspection of what comes from now on.
    raw_ends: bool,
    /// No raw inspection.
    raw_over: bool,
    /// Nothing follows: the session is closed or the flow ended.
    ended: bool,
    has_gap: bool,
    depth_reached: bool,
    /// Nothing is kept any more.
    over: bool,
}

impl Session {
    /// The half-stream of a direction.
    pub fn half(&self, direction: Direction) -> &HalfStream {
        &self.halves[direction.index()]
    }

    /// The half-stream of a direction, to change it.
    pub fn half_mut(&mut self, direction: Direction) -> &mut HalfStream {
        &mut self.halves[direction.index()]
    }

    /// The TCP state as EVE names it.
    pub fn state_name(&self) -> Option<&'static str> {
        self.state.as_str()
    }

    /// Client and server change places.
    pub fn swap(&mut self) {
        self.halves.swap(0, 1);
        self.flags.swap(0, 1);
    }

    /// Memory its segments hold, octets: what the memory limit counts.
    pub fn buffered(&self) -> u64 {
        self.halves.iter().map(|half| half.buffer.memory()).sum()
    }

    /// Whether there is something the application layer or raw inspection did not see of a direction.
    pub fn unseen(&self, direction: Direction) -> bool {
        let half = self.half(direction);
        let raw = !half.raw_over && half.buffer.right() > half.raw_progress && half.buffer.has_pieces();
        let app = !self.app_over && half.buffer.contiguous_end() > half.app_progress;
        raw || app
    }
}

impl HalfStream {
    /// Inspect what was received and acknowledged so far at the next chance, even if the chunk is not full.
    pub fn trigger_raw(&mut self) {
        self.raw_trigger = true;
    }

    /// Keep that many octets for rules that look at the stream beside application-layer buffers.
    pub fn keep_for_raw(&mut self, octets: u64) {
        self.raw_back = octets;
    }

    /// No raw inspection after what is there now (encrypted).
    pub fn end_raw(&mut self) {
        self.raw_ends = true;
    }

    /// Octets were lost.
    pub fn has_gap(&self) -> bool {
        self.has_gap
    }

    /// More octets came than are reassembled.
    pub fn depth_reached(&self) -> bool {
        self.depth_reached
    }

    /// Octets seen of it, by sequence numbers (what `stream_size` compares).
    pub fn size(&self) -> u32 {
        self.next_seq.wrapping_sub(self.isn)
    }

    /// Offset up to which the other side acknowledged.
    pub fn acked(&self) -> u64 {
        let base = self.buffer.base();
        let ahead = self.last_ack.wrapping_sub(self.base_seq()) as i32;
        base + u64::from(ahead.max(0).unsigned_abs())
    }

    /// Offset up to which the application layer took it.
    pub fn app_progress(&self) -> u64 {
        self.app_progress
    }

    /// The sequence number of the first octet kept.
    fn base_seq(&self) -> u32 {
        self.origin.wrapping_add(self.buffer.base() as u32)
    }

    /// Begin at an initial sequence number.
    fn begin(&mut self, isn: u32) {
        self.isn = isn;
        // Set again when a resent SYN+ACK counts; nothing was kept yet then, or what was keeps its offsets.
        self.origin = isn.wrapping_add(1).wrapping_sub(self.buffer.base() as u32);
    }
}
