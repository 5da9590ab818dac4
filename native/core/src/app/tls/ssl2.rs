//! SSL 2.0 as far as its hellos, and where it becomes encrypted.

use super::transaction::state;
use super::{version, Encrypted, Refused, TlsParser};
use crate::app::Probe;
use crate::packet::Direction;

/// An SSL 2.0 Client Hello by its two-octet header.
pub(super) fn probe(octets: &[u8], _direction: Direction) -> Probe {
    match octets {
        [first, _, 1, ..] if first & 0x80 != 0 => Probe::Certain,
        [_, _, _, ..] => Probe::No,
        _ => Probe::Unsure,
    }
}

/// What SSL 2.0 said.
#[derive(Debug, Default)]
pub(super) struct Ssl2 {
    pub(super) hellos: [bool; 2],
    pub(super) no_session: bool,
    pub(super) master_key: bool,
    pub(super) encrypted: [bool; 2],
}

impl TlsParser {
    /// One SSL 2.0 record. `None` waits for more; 0 lets the flow go.
    pub(super) fn ssl2_record(
        &mut self,
        direction: Direction,
        rest: &[u8],
    ) -> Result<Option<usize>, Refused> {
        let at = direction.index();
        let header = if rest[0] & 0x80 != 0 { 2 } else { 3 };
        if rest.len() < header + 1 {
            return Ok(None);
        }
        let mask = if header == 2 { 0x7f } else { 0x3f };
        let len = usize::from(rest[0] & mask) << 8 | usize::from(rest[1]);
        self.tx()?.sides[at].version = version::SSL2;
        if len == 0 {
            return self.refuse_ssl2("INVALID_SSLV2_HEADER");
        }
        let Some(body) = rest.get(header..header + len) else {
            return Ok(None);
        };
        match body[0] {
            0 => self.raise("ERROR_MESSAGE_ENCOUNTERED"),
            1 => {
                let [_, major, minor, _, _, high, low, ..] = *body else {
                    return self.refuse_ssl2("INVALID_SSL_RECORD");
                };
                let tx = self.tx()?;
                tx.sides[0].hello_seen = true;
                tx.now = state::CLIENT_HELLO;
                tx.sides[at].version = u16::from_be_bytes([major, minor]);
                self.ssl2.hellos[0] = true;
                self.ssl2.no_session = high == 0 && low == 0;
            }
            2 => self.ssl2.master_key = true,
            4 => {
                let tx = self.tx()?;
                tx.sides[1].hello_seen = true;
                tx.now = state::SERVER_HELLO;
                self.ssl2.hellos[1] = true;
            }
            3 | 5..=8 => {
                if body[0] == 8 && direction == Direction::ToServer {
                    self.tx()?.now = state::CLIENT_KEY_EXCHANGE;
                }
                if self.ssl2.hellos == [true; 2] {
                    let encrypted =
                        direction == Direction::ToClient || self.ssl2.no_session || self.ssl2.master_key;
                    self.ssl2.encrypted[at] |= encrypted;
                    if self.ssl2.encrypted == [true; 2] && self.encrypted != Encrypted::Full {
                        return Ok(Some(0));
                    }
                }
            }
            _ => {}
        }
        Ok(Some(header + len))
    }

    pub(super) fn refuse_ssl2<T>(&mut self, event: &'static str) -> Result<T, Refused> {
        self.raise(event);
        self.refuse("INVALID_SSL_RECORD")
    }
}
