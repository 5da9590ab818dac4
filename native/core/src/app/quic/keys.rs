//! Keys of Initial packets, which anyone can make who saw the client's first one (RFC 9001 section 5).

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::aes::cipher::{generic_array::GenericArray, BlockEncrypt};
use aes_gcm::aes::Aes128;
use aes_gcm::Aes128Gcm;
use hkdf::Hkdf;
use sha2::Sha256;

use super::version::{Q050, V2};
use crate::packet::Direction;

const SECRET_OCTETS: usize = 32;
const KEY_OCTETS: usize = 16;
const NONCE_OCTETS: usize = 12;
const TAG_OCTETS: usize = 16;
/// Octets by which the header's protection is taken off (RFC 9001 section 5.4.2).
const SAMPLE_OCTETS: usize = 16;
/// Longest packet number; the sample begins behind it, however long the number is.
const MAX_NUMBER_OCTETS: usize = 4;

/// The salt of a version (RFC 9001 section 5.2; RFC 9369 section 3.3.1; drafts 23, 29 and 33 of quic-tls).
fn salt(version: u32) -> Option<&'static [u8; 20]> {
    match version {
        Q050 => Some(b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45"),
        // Drafts 23 to 28, and Facebook's mvfst of that time.
        0xfaceb002 | 0xff00_0017..=0xff00_001c => {
            Some(b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02")
        }
        // Drafts 29 to 32.
        0xff00_001d..=0xff00_0020 => {
            Some(b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99")
        }
        // Drafts 33 and 34, and version 1.
        0x0000_0001 | 0xff00_0021..=0xff00_0022 => {
            Some(b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a")
        }
        V2 => Some(b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"),
        _ => None,
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 section 7.1).
fn expand<const N: usize>(from: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let label_len = u8::try_from("tls13 ".len() + label.len()).ok()?;
    let mut out = [0; N];
    let len = u16::try_from(N).ok()?.to_be_bytes();
    from.expand_multi_info(&[&len, &[label_len], b"tls13 ", label.as_bytes(), &[0]], &mut out)
        .ok()?;
    Some(out)
}

/// Keys of what one side sends.
struct SideKeys {
    header: Aes128,
    packet: Aes128Gcm,
    nonce: [u8; NONCE_OCTETS],
}

impl SideKeys {
    fn new(initial: &Hkdf<Sha256>, side: &str, version: u32) -> Option<SideKeys> {
        let secret: [u8; SECRET_OCTETS] = expand(initial, side)?;
        let secret = Hkdf::from_prk(&secret).ok()?;
        let [header, packet, nonce] = if version == V2 {
            ["quicv2 hp", "quicv2 key", "quicv2 iv"]
        } else {
            ["quic hp", "quic key", "quic iv"]
        };
        Some(SideKeys {
            header: Aes128::new(&expand::<KEY_OCTETS>(&secret, header)?.into()),
            packet: Aes128Gcm::new(&expand::<KEY_OCTETS>(&secret, packet)?.into()),
            nonce: expand(&secret, nonce)?,
        })
    }
}

/// Keys of a connection's Initial packets.
pub struct InitialKeys([SideKeys; 2]);

impl InitialKeys {
    /// Those that follow from the destination of the client's first Initial packet; `None` for versions without.
    pub fn new(version: u32, destination: &[u8]) -> Option<InitialKeys> {
        let initial = Hkdf::new(Some(salt(version)?), destination);
        Some(InitialKeys([
            SideKeys::new(&initial, "client in", version)?,
            SideKeys::new(&initial, "server in", version)?,
        ]))
    }

    /// The frames of an Initial packet that was sent in `direction`; `packet` is header and payload, the header of
    /// `header_len` octets without the packet number. `None` when it is not what these keys protect.
    ///
    /// The packet number is taken as sent: Initial packets are never so many that it would be cut.
    pub fn open(&self, direction: Direction, packet: &[u8], header_len: usize) -> Option<Vec<u8>> {
        let keys = &self.0[direction.index()];
        let (header, payload) = packet.split_at_checked(header_len)?;
        let sample = payload.get(MAX_NUMBER_OCTETS..MAX_NUMBER_OCTETS + SAMPLE_OCTETS)?;
        let mut mask = GenericArray::clone_from_slice(sample);
        keys.header.encrypt_block(&mut mask);

        let mut header = header.to_vec();
        let first = header.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let (number, sealed) = payload.split_at_checked(1 + usize::from(*first & 3))?;
        let mut nonce = keys.nonce;
        let place = NONCE_OCTETS - number.len();
        for ((octet, mask), nonce) in number.iter().zip(&mask[1..]).zip(&mut nonce[place..]) {
            header.push(octet ^ mask);
            *nonce ^= octet ^ mask;
        }

        let (sealed, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_OCTETS)?)?;
        let mut frames = sealed.to_vec();
        keys.packet
            .decrypt_in_place_detached(&nonce.into(), &header, &mut frames, GenericArray::from_slice(tag))
            .ok()?;
        Some(frames)
    }

    /// The reverse of [`InitialKeys::open`]: `header` ends with the packet number, of as many octets as it says.
    #[cfg(test)]
    pub fn seal(&self, direction: Direction, header: &[u8], frames: &[u8]) -> Vec<u8> {
        let keys = &self.0[direction.index()];
        let number_len = 1 + usize::from(header[0] & 3);
        let number_at = header.len() - number_len;
        let mut nonce = keys.nonce;
        for (nonce, octet) in nonce[NONCE_OCTETS - number_len..]
            .iter_mut()
            .zip(&header[number_at..])
        {
            *nonce ^= octet;
        }
        let mut sealed = frames.to_vec();
        let tag = keys
            .packet
            .encrypt_in_place_detached(&nonce.into(), header, &mut sealed)
            .unwrap();
        sealed.extend_from_slice(&tag);
        let sample = MAX_NUMBER_OCTETS - number_len;
        let mut mask = GenericArray::clone_from_slice(&sealed[sample..sample + SAMPLE_OCTETS]);
        keys.header.encrypt_block(&mut mask);
        let mut packet = header.to_vec();
        packet[0] ^= mask[0] & 0x0f;
        for (octet, mask) in packet[number_at..].iter_mut().zip(&mask[1..]) {
            *octet ^= mask;
        }
        packet.extend(sealed);
        packet
    }
}
