//! Whether a packet and its flow are what a rule's header, `flow:` and packet conditions ask for.

use super::Work;
use crate::rule::cause::Cause;
use crate::rule::memory::{self, FlowDetect};
use crate::rule::signature::{Kind, Signature, View};
use crate::rule::state::StateTest;

/// Protocol, direction, addresses and ports: the first that is not the rule's.
pub(in crate::rule) fn header_fits(signature: &Signature, view: &View<'_, '_>) -> Result<(), Cause> {
    let packet = view.packet;
    let header = &signature.header;
    if packet.ip.version == 0 {
        let fits = header.protocols.packet_header || signature.kind == Kind::EventOnly;
        return or(fits, Cause::NoHeader);
    }
    or(header.protocols.contains(packet.ip.proto), Cause::Protocol)?;
    let version = header.protocols.version;
    or(version == 0 || version == packet.ip.version, Cause::Version)?;
    let direction = signature.direction;
    or(
        direction.is_none() || direction == packet.direction,
        Cause::Direction,
    )?;
    if !(header.sport.any && header.dport.any) {
        let ports = !packet.fragment && matches!(packet.ip.proto, 6 | 17 | 132);
        or(ports, Cause::NoPorts)?;
        or(header.sport.contains(packet.sport), Cause::SourcePort)?;
        or(header.dport.contains(packet.dport), Cause::DestinationPort)?;
    }
    or(header.src.contains(packet.src), Cause::Source)?;
    or(header.dst.contains(packet.dst), Cause::Destination)
}

/// Nothing, or the cause when it does not hold.
pub(super) fn or(holds: bool, cause: Cause) -> Result<(), Cause> {
    if holds {
        Ok(())
    } else {
        Err(cause)
    }
}

/// What `flow:` asks.
pub(in crate::rule) fn flow_fits(signature: &Signature, view: &View<'_, '_>) -> Result<(), Cause> {
    let Some(flow) = &signature.flow else {
        return Ok(());
    };
    or(view.flow.is_some(), Cause::NoFlow)?;
    let asks = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
    or(
        asks(flow.established, view.packet.established),
        Cause::Established,
    )?;
    or(asks(flow.reassembled, view.packet.reassembled), Cause::Fragments)
}

/// Conditions on the packet and on what is remembered.
pub(in crate::rule) fn packet_fits(
    signature: &Signature,
    view: &View<'_, '_>,
    detect: Option<&FlowDetect>,
    work: &mut Work,
) -> Result<(), Cause> {
    for (at, condition) in signature.packet.iter().enumerate() {
        or(condition.matches(view), Cause::Packet(at))?;
    }
    for (at, test) in signature.state.iter().enumerate() {
        let holds = match test {
            StateTest::Reputation { .. } => work.reputation.holds(test, view.packet),
            StateTest::PacketVariable { name, content } => {
                memory::variable_contains(&work.variables, *name, content)
            }
            test => memory::holds(test, view, detect, &mut work.hosts).unwrap_or(false),
        };
        or(holds, Cause::State(at))?;
    }
    Ok(())
}
