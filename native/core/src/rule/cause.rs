//! Which condition of a rule failed first.

/// The condition, in the order in which they are asked; numbers are places in the signature's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// A rule that passes or drops matched before, or the flow is bypassed: nothing of it is looked at.
    Passed,
    /// There is no valid IP header.
    NoHeader,
    /// IP protocol.
    Protocol,
    /// IPv4 or IPv6.
    Version,
    /// Direction in the flow.
    Direction,
    /// Ports are asked for and there are none.
    NoPorts,
    /// Source port.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// `flow`: there is none.
    NoFlow,
    /// `flow:established` or `not_established`.
    Established,
    /// `flow:only_frag` or `no_frag`.
    Fragments,
    /// The packet stands for a flow's end, and the rule is on packets.
    FlowEnd,
    /// There is payload to inspect and must not be, or the other way round.
    PayloadNeed,
    /// The application protocol.
    AppProtocol,
    /// A condition on the packet's headers.
    Packet(usize),
    /// A condition on what is remembered.
    State(usize),
    /// The rule was not tried: its fast pattern was not found where it is looked for.
    Prefilter,
    /// A group of conditions on a buffer.
    Group(usize),
    /// Another condition on a transaction.
    Transaction(usize),
    /// The payload is in the stream, which is looked at later.
    StreamWaits,
    /// There is no payload.
    NoPayload,
    /// A condition on the payload.
    Payload,
}
