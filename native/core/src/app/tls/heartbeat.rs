//! Heartbeats (RFC 6520): those that ask for more than they bring, and answers that bring more than was asked for.

use super::{Refused, TlsParser};
use crate::packet::Direction;

impl TlsParser {
    pub(super) fn heartbeat(&mut self, direction: Direction, body: &[u8]) -> Result<(), Refused> {
        let [kind, high, low, ..] = *body else {
            return Ok(());
        };
        let encrypted = self.cipher_change != [false; 2];
        if !encrypted && !(1..=2).contains(&kind) {
            return self.refuse("INVALID_HEARTBEAT_MESSAGE");
        }
        match self.heartbeat {
            None => {
                self.heartbeat = Some(direction);
                if encrypted {
                    self.heartbeat_octets = body.len();
                    return Ok(());
                }
                let payload = usize::from(u16::from_be_bytes([high, low]));
                if payload + 3 > body.len() {
                    return self.refuse("OVERFLOW_HEARTBEAT_MESSAGE");
                }
                if body.len() - payload - 3 < 16 {
                    return self.refuse("INVALID_HEARTBEAT_MESSAGE");
                }
            }
            Some(sender) if sender == direction => return self.refuse("INVALID_HEARTBEAT_MESSAGE"),
            Some(_) => {
                self.heartbeat = None;
                let asked = std::mem::take(&mut self.heartbeat_octets);
                if encrypted && asked > 0 && asked < body.len() {
                    return self.refuse("DATALEAK_HEARTBEAT_MISMATCH");
                }
            }
        }
        Ok(())
    }
}
