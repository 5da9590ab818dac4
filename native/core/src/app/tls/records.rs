//! Records (RFC 8446 section 5), one by one.

use super::{version, Encrypted, Refused, TlsParser};
use crate::app::Requests;
use crate::packet::Direction;

/// Octets of a record header.
const HEADER_OCTETS: usize = 5;
/// Longest record.
const MAX_RECORD_OCTETS: usize = (1 << 14) + 1024;

/// Where a direction is within its records.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// Octets of an application data record that still come.
    pub(super) skip: usize,
    /// A record began that is not all there.
    pub(super) begun: bool,
    /// A handshake message that goes on in the next record: type, length, octets so far.
    pub(super) message: Option<(u8, usize, Vec<u8>)>,
}

impl TlsParser {
    /// Take what there is. Returns how much was used, or `None` when the flow is to be let go.
    pub(super) fn records(
        &mut self,
        direction: Direction,
        data: &[u8],
        requests: &mut Requests,
    ) -> Result<Option<usize>, Refused> {
        let at = direction.index();
        let mut used = self.framing[at].skip.min(data.len());
        self.framing[at].skip -= used;
        // What was said is over when a record begins; a record that goes on says nothing new until it is there.
        if !std::mem::take(&mut self.framing[at].begun) {
            self.tx()?.now = 0;
        }
        while used < data.len() {
            let rest = &data[used..];
            let taken = if rest[0] & 0xc0 != 0 {
                self.ssl2_record(direction, rest)?
            } else {
                self.record(direction, rest, requests)?
            };
            match taken {
                Some(0) => return Ok(None),
                Some(len) => {
                    used += len;
                    requests.trigger_raw[at] = true;
                }
                None => {
                    self.framing[at].begun = true;
                    break;
                }
            }
        }
        self.framing[at].begun |= self.framing[at].skip > 0;
        Ok(Some(used))
    }

    /// One record. `None` waits for more; 0 lets the flow go.
    pub(super) fn record(
        &mut self,
        direction: Direction,
        rest: &[u8],
        requests: &mut Requests,
    ) -> Result<Option<usize>, Refused> {
        let at = direction.index();
        let Some((header, body)) = rest.split_at_checked(HEADER_OCTETS) else {
            return Ok(None);
        };
        let kind = header[0];
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let side = &mut self.tx()?.sides[at];
        let before = side.version;
        if !(side.hello_seen && side.version != 0) {
            side.version = u16::from_be_bytes([header[1], header[2]]);
        }
        let version = side.version;
        if !(20..=24).contains(&kind) {
            self.raise("INVALID_RECORD_TYPE");
            if before == version::TLS10 || before == version::TLS11 {
                self.tx()?.sides[at].version = before;
                return Ok(Some(rest.len()));
            }
            return Err(Refused);
        }
        if len == 0 {
            return self.refuse("INVALID_RECORD_LENGTH");
        }
        if !version::is_valid(version) {
            return self.refuse("INVALID_RECORD_VERSION");
        }
        if len > MAX_RECORD_OCTETS {
            return self.refuse("INVALID_RECORD_LENGTH");
        }
        if kind == 23 {
            return self.application_data(direction, body, len, requests);
        }
        let Some(body) = body.get(..len) else {
            return Ok(None);
        };
        match kind {
            20 => self.cipher_change[at] = true,
            22 => self.handshake_record(direction, body)?,
            24 => self.heartbeat(direction, body)?,
            _ => {}
        }
        Ok(Some(HEADER_OCTETS + len))
    }

    pub(super) fn application_data(
        &mut self,
        direction: Direction,
        body: &[u8],
        len: usize,
        requests: &mut Requests,
    ) -> Result<Option<usize>, Refused> {
        let early = self.early_data && !self.tx()?.sides[1].hello_seen;
        if !early && !body.is_empty() {
            self.tx()?.done = true;
            match self.encrypted {
                Encrypted::Full => {}
                Encrypted::TrackOnly => requests.opaque_payload = true,
                Encrypted::Bypass => return Ok(Some(0)),
            }
        }
        let here = body.len().min(len);
        self.framing[direction.index()].skip = len - here;
        Ok(Some(HEADER_OCTETS + here))
    }
}
