//! Handshake messages (RFC 8446 section 4), put together across records.

use super::transaction::state;
use super::{hello, version, Refused, TlsParser};
use crate::packet::Direction;

/// Longest handshake message that is put together.
const MAX_MESSAGE_OCTETS: usize = 1 << 20;

impl TlsParser {
    pub(super) fn handshake_record(&mut self, direction: Direction, body: &[u8]) -> Result<(), Refused> {
        let tx = self.transactions.last_mut().ok_or(Refused)?;
        if self.cipher_change != [false; 2] {
            // In TLS 1.3 a change of ciphers means nothing until the server has spoken.
            let client = &tx.sides[0];
            let only_compatible =
                client.hello_seen && client.version > version::TLS12 && !tx.sides[1].hello_seen;
            if !only_compatible {
                return Ok(());
            }
        }
        if body.len() < 4 {
            return self.refuse("INVALID_SSL_RECORD");
        }
        if self.handshake(direction, body).is_err() {
            return self.refuse("INVALID_HANDSHAKE_MESSAGE");
        }
        Ok(())
    }

    pub(super) fn handshake(&mut self, direction: Direction, mut body: &[u8]) -> Result<(), Refused> {
        let at = direction.index();
        while !body.is_empty() {
            if let Some((kind, len, mut octets)) = self.framing[at].message.take() {
                let add = body.len().min(len - octets.len());
                octets.extend_from_slice(&body[..add]);
                body = &body[add..];
                if octets.len() == len {
                    self.message(direction, kind, &octets)?;
                } else {
                    self.framing[at].message = Some((kind, len, octets));
                }
                continue;
            }
            let Some((header, rest)) = body.split_at_checked(4) else {
                return self.refuse("INVALID_SSL_RECORD");
            };
            let kind = header[0];
            let len = usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
            if !matches!(kind, 0..=2 | 4 | 11..=16 | 20..=22) {
                if !self.cipher_change[at] {
                    self.raise("INVALID_HANDSHAKE_MESSAGE");
                }
                body = &rest[rest.len().min(len)..];
                continue;
            }
            match rest.get(..len) {
                Some(message) => {
                    self.message(direction, kind, message)?;
                    body = &rest[len..];
                }
                None if len > MAX_MESSAGE_OCTETS => return Err(Refused),
                None => {
                    self.framing[at].message = Some((kind, len, rest.to_vec()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn message(&mut self, direction: Direction, kind: u8, octets: &[u8]) -> Result<(), Refused> {
        if octets.is_empty() {
            return Ok(());
        }
        match kind {
            1 => self.hello(direction, octets, true),
            2 => self.hello(direction, octets, false),
            11 => {
                let event = self.tx()?.sides[direction.index()].certificates.read(octets);
                if let Some(event) = event {
                    self.raise(event);
                }
                Ok(())
            }
            12 => {
                self.tx()?.now = state::SERVER_KEY_EXCHANGE;
                Ok(())
            }
            16 => {
                self.tx()?.now = state::CLIENT_KEY_EXCHANGE;
                Ok(())
            }
            13 if direction == Direction::ToClient => {
                self.client_certificate = true;
                self.tx()?.now = 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn hello(&mut self, direction: Direction, octets: &[u8], client: bool) -> Result<(), Refused> {
        let ja4 = (client && self.ja4).then_some(&mut self.fingerprint);
        let hello = hello::parse(octets, client, self.versions_seen, ja4);
        let ja3 = self.ja3;
        let ja4_text = (client && self.ja4).then(|| self.fingerprint.text());
        self.early_data |= hello.early_data;
        self.versions_seen |= hello.has_versions;
        let tx = self.tx()?;
        for event in &hello.events {
            tx.meta.raise(event);
        }
        tx.resumed |= hello.ticket;
        tx.without_certificate |= hello.without_certificate;
        if ja4_text.is_some() {
            tx.ja4_text = ja4_text;
        }
        // The role a message claims says whose random and state it is; the direction says whose it was.
        let role = usize::from(!client);
        tx.sides[role].hello_seen = true;
        tx.now = if client {
            state::CLIENT_HELLO
        } else {
            state::SERVER_HELLO
        };
        if hello.random.is_some() {
            tx.sides[role].random = hello.random;
        }
        let side = &mut tx.sides[direction.index()];
        if hello.version != 0 {
            side.version = hello.version;
        }
        if side.session_id.is_empty() {
            side.session_id = hello.session_id;
        }
        match (&side.sni, hello.sni) {
            (Some(_), Some(_)) => tx.meta.raise("MULTIPLE_SNI_EXTENSIONS"),
            (None, Some(sni)) => side.sni = Some(sni),
            _ => {}
        }
        if ja3 && side.ja3_hash.is_none() {
            if let Some(text) = hello.ja3 {
                side.ja3_hash = Some(hello::ja3_hash(&text));
                side.ja3 = Some(text);
            }
        }
        if !client && !tx.sides[0].session_id.is_empty() && tx.sides[0].session_id == tx.sides[1].session_id {
            tx.resumed = true;
        }
        Ok(())
    }
}
