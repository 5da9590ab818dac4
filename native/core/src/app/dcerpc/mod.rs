//! DCE RPC (C706, [MS-RPCE]): `pdu` octets as PDUs. Over TCP and UDP, and inside SMB's named pipes.
//!
//! What a protocol that carries calls owes to rules, all of it on the transaction that is a call: a buffer
//! `dcerpc.stub_data` (both directions, progress 0, streaming), a value `dcerpc.opnum` on requests, and
//! [`Transaction::call`](super::Transaction::call) on requests.

pub mod pdu;

pub use pdu::Interface;

/// A remote procedure call's request, as `dcerpc.iface` looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Interfaces of the bind (or alter context) answered last.
    pub interfaces: &'a [Interface],
    /// Context the request names; `None` where that does not matter, as on SMB's pipes.
    pub context_id: Option<u16>,
}
