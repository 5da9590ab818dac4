//! `rpc`: calls of ONC RPC (RFC 5531), in the packet's payload.

use super::{Argument, Keyword, Outcome};
use crate::packet::{Packet, Transport};
use crate::rule::builder::{Builder, Fault};
use crate::rule::signature::{PacketCondition, View};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[Keyword::new(
    "rpc",
    "A call of ONC RPC: program, version, procedure; * for any of the latter.",
    ("tcp", "rpc:100000,*,3;"),
    rpc,
)];

#[derive(Debug)]
struct Rpc {
    program: u32,
    version: Option<u32>,
    procedure: Option<u32>,
}

impl PacketCondition for Rpc {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        let Some(message) = message(view.packet) else {
            return false;
        };
        // Transaction, message type (0 is a call), RPC version, then what is called.
        let field = |at: usize| {
            let octets = message.get(at * 4..).and_then(|rest| rest.first_chunk())?;
            Some(u32::from_be_bytes(*octets))
        };
        field(1) == Some(0)
            && field(3) == Some(self.program)
            && (self.version.is_none() || field(4) == self.version)
            && (self.procedure.is_none() || field(5) == self.procedure)
    }

    fn keyword(&self) -> &'static str {
        "rpc"
    }
}

/// The message: over TCP behind the record mark.
fn message<'a>(packet: &Packet<'a>) -> Option<&'a [u8]> {
    let message = match packet.transport {
        Transport::Tcp(_) => packet.payload.get(4..)?,
        Transport::Udp => packet.payload,
        _ => return None,
    };
    (message.len() >= 24).then_some(message)
}

fn rpc(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = super::parts(argument.text);
    let read = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| Fault::from(format!("{text:?} is not a number of RPC")))
    };
    let program = read(parts.next().unwrap_or(""))?;
    let mut optional = || match parts.next() {
        None | Some("*") => Ok(None),
        Some(text) => read(text).map(Some),
    };
    let condition = Rpc {
        program,
        version: optional()?,
        procedure: optional()?,
    };
    if parts.next().is_some() {
        return Err(Fault::hinted(
            "rpc takes program, version and procedure",
            "rpc:100000,*,3",
        ));
    }
    builder.requires_packet = true;
    builder.packet.push(Box::new(condition));
    builder.last_keyword = "rpc";
    Ok(())
}
